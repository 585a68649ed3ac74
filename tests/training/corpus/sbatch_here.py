"""Stands in for Slurm's `sbatch`: runs the tasks of a job's array at once and prints the job's number."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

notes = Path(os.environ["SBATCH_NOTES"])
arguments = sys.argv[1:]
script = Path(arguments[-1])
text = script.read_text(encoding="utf-8")
directives = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", text, re.MULTILINE))
number = 1 + (len(notes.read_text(encoding="utf-8").splitlines()) if notes.exists() else 0)
dependency = next((a.partition("=")[2] for a in arguments if a.startswith("--dependency=")), "")
note = {
    "id": number,
    "name": directives["job-name"],
    "array": directives.get("array", ""),
    "dependency": dependency or directives.get("dependency", ""),
    "directives": directives,
    "merges_stats": "merge_stats" in text,
}
with notes.open("a", encoding="utf-8") as stream:
    stream.write(json.dumps(note) + "\n")
array = re.match(r"0-(\d+)", directives.get("array", ""))
last = int(array[1]) if array else 0
exported = dict(
    pair.split("=", 1)
    for a in arguments
    if a.startswith("--export=")
    for pair in a[9:].split(",")
    if "=" in pair
)
for task in range(last + 1):
    environment = {**os.environ, **exported, "SLURM_ARRAY_TASK_ID": str(task), "SLURM_NODELIST": "localhost"}
    subprocess.run(["bash", "-e", str(script)], env=environment, check=True, capture_output=True)
print(f"Submitted batch job {number}")
