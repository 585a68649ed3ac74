"""What a model needs of a machine: the figures `memory_bytes` and `least_cores` of the catalogue.

    python -m benchmarks.models.needs FILE.gguf…

Memory is the peak of a process that has loaded the model and computed a prompt. Cores are as many as compute
a cold prompt in two seconds: its processor time over that, so that it counts little what else the machine
does. Each model has a process of its own.
"""

from __future__ import annotations

import json
import math
import random
import resource
import subprocess
import sys
import time

from benchmarks.machine import processor
from benchmarks.tables import table

PROMPT_TOKENS = 1024
_COLD_PROMPT_S = 2.0


def measure(model: str) -> dict[str, float]:
    """The peak of this process's memory in bytes, and the processor seconds of a cold prompt."""
    from model.engine.engine import EngineOptions
    from model.engine.generation import GenerationRequest
    from model.runner.sampling import SamplingParams
    from model.start.load import load_engine
    from model.weights.hub import resolve

    engine = load_engine(resolve(model).folder, options=EngineOptions(threads=1))
    ids = random.Random(0).choices(range(1000, engine.tokenizer.vocab_size // 2), k=PROMPT_TOKENS)
    began = time.process_time()
    engine.submit(GenerationRequest(prompt_ids=ids, sampling=SamplingParams(max_new_tokens=1)))
    while engine.busy:
        engine.step()
    seconds = time.process_time() - began
    # Kilobytes on Linux.
    return {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "prompt_s": seconds}


def main() -> int:
    """Measure each model in a process of its own, print."""
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2])))
        return 0
    rows = []
    for model in sys.argv[1:]:
        command = [sys.executable, "-m", "benchmarks.models.needs", "--one", model]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        cores = math.ceil(found["prompt_s"] / _COLD_PROMPT_S)
        rows.append([model, f"{found['memory'] / 1e6:,.0f} MB", f"{found['prompt_s']:.1f} s", str(cores)])
    print(processor())
    print("\n".join(table(["model", "memory", f"processor, {PROMPT_TOKENS:,} tokens", "least cores"], rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
