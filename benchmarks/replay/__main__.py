"""A session at the keyboard in two editors: ours with its engine, llama.vscode with llama.cpp's server.

    python -m benchmarks.replay --model FILE.gguf [--keys 300] [--llama-server PROGRAM] [--json FILE] [--docs]

Both type the same: letters, slips and backspaces, Enter with its indentation, jumps to another place, and
accepted suggestions. Place by place they take turns. Without llama-server, or with a model that is no GGUF
file, ours runs alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.llama_server import PROGRAM, find_program
from benchmarks.replay.editors import Editor, KeyAnswer, llama_editor, our_editor
from benchmarks.replay.report import ReplayReport
from benchmarks.replay.session import FILES, Stroke, TypedPlace, places
from benchmarks.tables import MODELS_PAGE, put_section
from model.local.threads import available_cpus
from model.weights.hub import resolve

_REST_S = 1.0
_TYPED_CHARS = 2000


async def replay(
    editors: Sequence[Editor], typed: Sequence[TypedPlace], n_each: int, pause_s: float
) -> AsyncIterator[KeyAnswer]:
    """`n_each` keys at each place, by one editor after the other; who begins changes with the place."""
    left: dict[str, Stroke] = {}
    for number, place in enumerate(typed):
        first = number % len(editors)
        for editor in [*editors[first:], *editors[:first]]:
            await editor.rest(left.get(editor.name))
            for stroke in islice(place.strokes(assisted=True), n_each):
                yield await editor.answer(stroke)
                await asyncio.sleep(pause_s)
                left[editor.name] = stroke


async def run(options: argparse.Namespace, advance: Callable[[], None]) -> ReplayReport:
    """Start the engines, type, and gather."""
    every = places(FILES, _TYPED_CHARS)
    count = min(options.places or len(every), len(every))
    typed = [every[i * len(every) // count] for i in range(count)]
    async with AsyncExitStack() as engines:
        enter = engines.enter_async_context
        ours = our_editor(
            options.model,
            FILES,
            threads=options.threads,
            context_tokens=options.context,
            max_new_tokens=options.tokens,
            rest_s=_REST_S,
        )
        editors: list[Editor] = [await enter(ours)]
        for program, cache_reuse in _peers(options):
            file = resolve(options.model).folder
            peer = llama_editor(
                program,
                file,
                threads=options.threads,
                cache_reuse=cache_reuse,
                max_new_tokens=options.tokens,
            )
            editors.append(await enter(peer))
        answers = []
        n_each = -(-options.keys // len(typed))
        async for answer in replay(editors, typed, n_each, options.pause_ms / 1e3):
            answers.append(answer)
            advance()
        return ReplayReport(
            model=resolve(options.model).name,
            threads=options.threads,
            answers=answers,
            starts={editor.name: editor.start() for editor in editors},
            max_new_tokens=options.tokens,
        )


def _peers(options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    program = find_program(options.llama_server)
    if program is None or not resolve(options.model).folder.is_file():
        why = f"{options.llama_server or PROGRAM} is not installed" if program is None else "no GGUF file"
        print(f"left out: llama.vscode ({why})", file=sys.stderr)
        return
    for one in options.cache_reuse.split(","):
        yield program, int(one)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.replay", description=(__doc__ or "").partition("\n")[0]
    )
    arguments.add_argument("--model", default="starter", help="a name, a folder or a GGUF file")
    arguments.add_argument("--keys", type=int, default=300, help="of each editor (default: 300)")
    arguments.add_argument("--places", type=int, help="evenly spread (default: three in each of three files)")
    arguments.add_argument("--threads", type=int, default=available_cpus(), help="of each")
    arguments.add_argument("--context", type=int, help="tokens of our prompts (default: the engine's)")
    arguments.add_argument(
        "--tokens",
        type=int,
        help="of an answer at most (default: each editor's own)",
    )
    arguments.add_argument("--pause-ms", type=float, default=100.0, help="from an answer to the next key")
    arguments.add_argument("--llama-server", help=f"the program (default: {PROGRAM} on the path)")
    arguments.add_argument(
        "--cache-reuse", default="256", help="llama-server's, several with commas (recommended: 256)"
    )
    arguments.add_argument("--json", type=Path, help="write the answers there")
    arguments.add_argument("--docs", action="store_true", help="put the tables into docs/models.md")
    return arguments


def main() -> int:
    """Run and print."""
    options = parser().parse_args()
    with Progress(console=Console(stderr=True), auto_refresh=False, transient=True) as progress:
        bar = progress.add_task("Typing", total=None)
        # Not refreshed from a thread, which would be timed.
        report = asyncio.run(run(options, lambda: progress.update(bar, advance=1, refresh=True)))
    print(report.markdown())
    if options.json:
        options.json.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
    if options.docs:
        put_section(MODELS_PAGE, f"replay {resolve(options.model).name}", report.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
