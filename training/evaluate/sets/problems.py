"""Problems with tests: HumanEval, MBPP, HumanEval-X, HumanEval infilling, by path or by Hugging Face id.

Each becomes a `Problem`: what a model is asked, and how its answer becomes a program that tests itself.
Which file it is shows in its fields. Knows neither models nor the sandbox.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import EvaluationError
from training.evaluate.sets.functions import function_end

# The stop words of bigcode-evaluation-harness for HumanEval and for MBPP.
_PYTHON_STOPS = ("\nclass", "\ndef", "\n#", "\n@", "\nprint", "\nif", "\n```")
_MBPP_STOPS = ("\nclass", "\nassert", '\n"""', "\nprint", "\nif", "\n<|/", "\n```")
_MBPP_TEST_IDS = range(11, 511)  # Austin et al. 2021: 11 to 510 are the test set
_LANGUAGE_OF_TASK = {
    "Python": "python",
    "JavaScript": "javascript",
    "Java": "java",
    "CPP": "cpp",
    "Go": "go",
    "Rust": "rust",
}
# A function's closing brace, for an answer that stopped before it, and what is behind the function.
_CLOSINGS = {"javascript": "\n}", "cpp": "\n}", "java": "\n    }"}
_ENDINGS = {"java": "\n}"}
# What cannot stand within the function but behind it. The brace that ends a Java method has no place of its
# own: of a body that is indented by four, an inner block's brace stands where the method's usually does.
_BRACE_STOPS = {
    "javascript": ("\n}",),
    "cpp": ("\n}",),
    "java": ("\n}", "\n    /**", "\n    public ", "\n    private ", "\n    static ", "\n    @"),
}
# HumanEval-X's checker puts these before a C++ program that lacks them.
_CPP_HEADERS = (
    *("stdlib.h", "algorithm", "math.h", "stdio.h", "vector", "string", "climits", "cstring", "iostream"),
)
# What HumanEval-X's checker puts before a Python program (but for numpy, which not every machine has).
_HUMAN_EVAL_X_IMPORTS = (
    "import math\nimport re\nimport sys\nimport copy\nimport datetime\nimport itertools\nimport collections\n"
    "import heapq\nimport statistics\nimport functools\nimport hashlib\nimport string\n"
    "from typing import *\nfrom collections import *\n"
)
_ANSWER_FIELDS = ("completion", "generation", "solution")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """`prompt` + answer + `after` is the program; `test_prompt` replaces `prompt` where the two differ.

    A model's text ends before one of `stop`; `answer` makes it whole by `closing` and `ending`.
    """

    task_id: str
    language: str
    prompt: str
    test_prompt: str
    after: str
    canonical: str
    stop: tuple[str, ...]
    closing: str = ""
    ending: str = ""

    def answer(self, text: str) -> str:
        """What a model wrote up to one of `stop`, as an answer: to the end of the function, where that has
        an end.
        """
        end = function_end(text) if self.closing else None
        return (text + self.closing if end is None else text[:end]) + self.ending

    def program(self, answer: str) -> str:
        """The answer with its tests."""
        return self.test_prompt + answer + self.after


def read_tasks(source: str) -> dict[str, Problem]:
    """Problems by task id, from a `.jsonl(.gz)` file, a folder of one or a Hugging Face id. Raises
    EvaluationError.
    """
    problems = [problem_of(record, source) for record in read_records(source)]
    if not problems:
        raise EvaluationError(f"{source} holds no problem")
    return {problem.task_id: problem for problem in problems}


def read_records(source: str) -> list[Mapping[str, Any]]:
    """What `read_tasks` reads, as it stands there. Raises EvaluationError."""
    path = Path(source)
    if not path.exists() and source.count("/") == 1 and not path.suffix:
        return _from_hub(source)
    return list(read_json_lines(_file_of(path)))


def _file_of(path: Path) -> Path:
    """The file itself, or the only one of a folder."""
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.jsonl*"))
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "no .jsonl or .jsonl.gz file"
        raise EvaluationError(f"{path} holds {names}; name one file")
    return files[0]


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a `.jsonl` or `.jsonl.gz` file. Raises EvaluationError, which names the line."""
    number = 0
    records: list[dict[str, Any]] = []
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
        for number, line in enumerate(text.split("\n"), start=1):  # noqa: B007 for the message
            if not line.strip():
                continue
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("not an object")
            records.append(record)
    except (OSError, ValueError, EOFError) as error:
        raise EvaluationError(f"{path}, line {number}: {error}; expected one JSON object a line") from error
    return records


def _from_hub(name: str) -> list[Mapping[str, Any]]:
    from datasets import load_dataset  # type: ignore[import-untyped] # it has no types

    try:
        return list(load_dataset(name, split="test"))
    except (OSError, ValueError) as error:
        raise EvaluationError(
            f"{name}: no such file, and no data set of that Hugging Face id ({error})"
        ) from error


def problem_of(record: Mapping[str, Any], source: str) -> Problem:
    """Recognise one record by its fields. Raises EvaluationError."""
    try:
        if "suffix" in record and "test" in record:
            return _infilling(record)
        if "test_list" in record:
            return _mbpp(record)
        if "entry_point" in record:
            return _human_eval(record)
        if "declaration" in record:
            return _human_eval_x(record)
    except (KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{source}: a problem lacks or spoils {error}: {sorted(record)}") from error
    raise EvaluationError(
        f"{source}: fields {sorted(record)} are neither HumanEval's, MBPP's, HumanEval-X's "
        "nor those of infilling"
    )


def _human_eval(record: Mapping[str, Any]) -> Problem:
    return Problem(
        task_id=record["task_id"],
        language="python",
        prompt=record["prompt"].strip(),  # as the harness does: a line end before the answer costs accuracy
        test_prompt=record["prompt"],
        after=f"\n{record['test']}\ncheck({record['entry_point']})",
        canonical=record.get("canonical_solution", ""),
        stop=_PYTHON_STOPS,
    )


def _infilling(record: Mapping[str, Any]) -> Problem:
    return Problem(
        task_id=record["task_id"],
        language="python",
        prompt=record["prompt"],
        test_prompt=record["prompt"],
        after=f"{record['suffix']}\n{record['test']}\ncheck({record['entry_point']})",
        canonical=record["canonical_solution"],
        stop=(),
    )


def _mbpp(record: Mapping[str, Any]) -> Problem:
    tests = list(record["test_list"])
    setup = record.get("test_setup_code") or "\n".join(record.get("test_imports", []))
    text = record["text"] if "text" in record else record["prompt"]
    return Problem(
        task_id=str(record["task_id"]),
        language="python",
        prompt=f'"""\n{text}\n{tests[0]}\n"""\n',
        test_prompt="",
        after="\n" + "\n".join([setup, *tests]),
        canonical=record.get("code", ""),
        stop=_MBPP_STOPS,
    )


def _human_eval_x(record: Mapping[str, Any]) -> Problem:
    name = record["task_id"].split("/")[0]
    language = _LANGUAGE_OF_TASK.get(name, name.lower())
    prompt = record["prompt"]
    before = _HUMAN_EVAL_X_IMPORTS if language == "python" else ""
    if language == "cpp":
        includes = [f"#include<{header}>" for header in _CPP_HEADERS]
        before = "".join(f"{include}\n" for include in includes if include not in prompt)
    return Problem(
        task_id=record["task_id"],
        language=language,
        prompt=prompt.rstrip() if language == "python" else prompt,
        test_prompt=before + prompt,
        after="\n" + record["test"],
        canonical=record.get("canonical_solution", ""),
        stop=_BRACE_STOPS.get(language, _PYTHON_STOPS),
        closing=_CLOSINGS.get(language, ""),
        ending=_ENDINGS.get(language, "\n") if language in _CLOSINGS else "",
    )


def mbpp_test(problems: Mapping[str, Problem]) -> dict[str, Problem]:
    """MBPP's test set: tasks 11 to 510."""
    return {name: problem for name, problem in problems.items() if int(name) in _MBPP_TEST_IDS}


def task_name(value: Any, problems: Mapping[str, Problem]) -> str:
    """A sample's task id as the problems have it: MBPP's numbers come as 11, "11", "MBPP/11" or "Mbpp/11"."""
    name = str(value)
    return name if name in problems else name.rpartition("/")[2]


def answer_of(sample: Mapping[str, Any], problem: Problem) -> str:
    """The text a sample answers with; an answer that repeats the prompt is cut to what follows it.

    Raises EvaluationError when it has none of the fields that HumanEval, MBPP and HumanEval-X use.
    """
    for field in _ANSWER_FIELDS:
        answer = sample.get(field)
        if isinstance(answer, str):
            repeats = field == "solution" and problem.test_prompt and answer.startswith(problem.test_prompt)
            return answer[len(problem.test_prompt) :] if repeats else answer
    raise EvaluationError(f"a sample of {problem.task_id} has none of the fields {', '.join(_ANSWER_FIELDS)}")
