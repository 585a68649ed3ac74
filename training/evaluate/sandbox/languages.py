"""How a program of each language is run so that only finishing its last test makes it pass.

Python runs in a fork of a warm interpreter. JavaScript, Java and C++ are started by a small driver that
runs the program and then hands the token back (see `inmate`): no exit code is believed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training.evaluate.sandbox.inmate import EXIT_SYNTAX, TOKEN_FD, VERDICT_FD

_NODE_DRIVER = f"""'use strict';
const fs = require('fs'), vm = require('vm');
const read = fs.readSync, write = fs.writeSync, leave = process.reallyExit.bind(process);
// Node's own console.assert only prints.
const strict = Object.create(console);
strict.assert = (holds, ...message) => {{
  if (!holds) throw new Error('Assertion failed: ' + message.join(' '));
}};
const source = fs.readFileSync('program.js', 'utf8');
let program;
try {{
  program = vm.compileFunction(
    source, ['require', 'module', 'exports', 'console'], {{ filename: 'program.js' }});
}} catch (error) {{
  process.stderr.write(String(error));
  leave({EXIT_SYNTAX});
}}
const module_ = {{ exports: {{}} }};
// HumanEval-X's own solutions ask for this one package; offline, the standard library does the same.
const md5 = (text) => require('crypto').createHash('md5').update(text).digest('hex');
program((name) => (name === 'js-md5' ? md5 : require(name)), module_, module_.exports, strict);
setImmediate(() => {{}});
process.once('beforeExit', () => {{
  const token = Buffer.alloc(64);
  const length = read({TOKEN_FD}, token, 0, 64, null);
  write({VERDICT_FD}, token, 0, length);
  leave(0);
}});
"""

_JAVA_DRIVER = f"""import java.io.FileInputStream;
import java.io.FileOutputStream;

public class SandboxDriver {{
    public static void main(String[] arguments) throws Exception {{
        Main.main(new String[0]);
        byte[] token = new byte[64];
        int length = new FileInputStream("/proc/self/fd/{TOKEN_FD}").read(token);
        new FileOutputStream("/proc/self/fd/{VERDICT_FD}").write(token, 0, length);
        Runtime.getRuntime().halt(0);
    }}
}}
"""
_JAVA_FLAGS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -Xss8m"
_JAVA_SCRIPT = (
    f"javac -J-XX:+UseSerialGC -J-XX:TieredStopAtLevel=1 -J-Xshare:auto -J-Xmx512m -nowarn -encoding UTF-8 "
    f"-d . Main.java SandboxDriver.java || exit {EXIT_SYNTAX}\n"
    f"exec java {_JAVA_FLAGS} -Xmx512m -cp . SandboxDriver\n"
)

# The linker hands us the program's own `main`; leaving in any other way than by returning from it is early.
_CPP_DRIVER = f"""#include <cstdio>
#include <unistd.h>

extern "C" int __real_main(int, char **);

extern "C" int __wrap_main(int count, char **arguments) {{
  const int code = __real_main(count, arguments);
  std::fflush(nullptr);
  char token[64];
  if (code == 0) {{
    const ssize_t length = read({TOKEN_FD}, token, sizeof token);
    if (length <= 0 || write({VERDICT_FD}, token, length) != length) _exit(1);
  }}
  _exit(code);
}}
"""
# As HumanEval-X's checker compiles, with OpenSSL for the one problem that asks for it, where that is there.
_CPP_SCRIPT = (
    "crypto=; grep -q openssl/ program.cpp && crypto=-lcrypto\n"
    f"g++ -std=c++11 -w -Wl,--wrap=main program.cpp driver.cpp -o program $crypto || exit {EXIT_SYNTAX}\n"
    "exec ./program\n"
)


@dataclass(frozen=True, kw_only=True)
class SandboxLanguage:
    """`tools` must be on the PATH; `files` turns a program into what is written to the scratch folder.

    `cpu_factor` is how much more time than a Python program it may take. A virtual machine that reserves
    more address
    space than it uses is limited by the memory it does use. `must_be_silent`: a program that prints
    anything has failed, as HumanEval-X's own checker has it for JavaScript.
    """

    name: str
    tools: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    files: Callable[[str], dict[str, str]] = lambda _: {}
    cpu_factor: int = 1
    limits_address_space: bool = False
    must_be_silent: bool = False

    def tool_paths(self) -> list[Path] | None:
        """Where its tools are; None if one is missing."""
        found = [shutil.which(tool) for tool in self.tools]
        return None if None in found else [Path(str(path)) for path in found]


LANGUAGES = {
    language.name: language
    for language in (
        SandboxLanguage(name="python", limits_address_space=True),
        SandboxLanguage(
            name="javascript",
            tools=("node",),
            argv=("node", "driver.js"),
            files=lambda source: {"program.js": source, "driver.js": _NODE_DRIVER},
            cpu_factor=4,
            must_be_silent=True,
        ),
        SandboxLanguage(
            name="java",
            tools=("javac", "java"),
            argv=("sh", "-c", _JAVA_SCRIPT),
            files=lambda source: {"Main.java": source, "SandboxDriver.java": _JAVA_DRIVER},
            cpu_factor=10,
        ),
        SandboxLanguage(
            name="cpp",
            tools=("g++",),
            argv=("sh", "-c", _CPP_SCRIPT),
            files=lambda source: {"program.cpp": source, "driver.cpp": _CPP_DRIVER},
            cpu_factor=10,
        ),
    )
}
