"""Changes one thing at a time in what decides over data, and sees whether a test notices.

    scripts/mutants                     a sample of 500 mutants, seed 1
    scripts/mutants --sample 40 --seed 7
    scripts/mutants --again             only those of the last run that nothing noticed

The formats, prune, retention and restore, built without RocksDB. A sample is the beginning of an
order that its seed tells. All of it goes into one build of a copy of the source (scripts/weave.py);
then each test runs once alone and tells which mutants it reaches, and each mutant is judged by the
tests that reach it, the cheap ones first: by unit tests, and what they miss by those of tests/suite
that are named below. A mutant that no test reaches is missed as well. One that runs into a limit of
time or memory is caught: a person would notice.

Mutants do run, and what deletes files deletes what a mutant tells it to: do this on a machine, or
in a container, that holds nothing dear. Results are in verdicts.json beside the copy.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time

import weave

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = [
    "src/format/**/*.rs",
    "src/repo/prune/**/*.rs",
    "src/ops/retention.rs",
    "src/ops/retention/**/*.rs",
    "src/ops/restore.rs",
    "src/ops/restore/**/*.rs",
    "src/sink/**/*.rs",
]
NOT_FILES = ["**/tests.rs", "**/tests/**", "src/format/samples.rs"]
# What judges the restore as a person sees it. The loops over thousands of faults are left out: what
# only they notice is not worth their hours here.
SUITE = [
    "checks::",
    "cli::",
    "damage::",
    "export::",
    "files_round_trip::",
    "forget::",
    "hostile::every",
    "hostile_restore::",
    "marks::",
    "parts::",
    "proof::",
    "prune::",
    "restore_again::",
    "shop::",
    "time::",
    "upkeep::",
    "vectors",
]
BUILD = [
    "test",
    "--release",
    "--locked",
    "--no-default-features",
    "--no-run",
    "--message-format=json",
]
# What is built, and how far it is optimised: the unit tests compute, those of the suite wait.
ROUNDS = {
    "unit": (["--lib"], 1),
    "suite": (["--test=suite"], 0),
    "both": (["--lib", "--test=suite"], 0),
}
MEMORY_BYTES = 8 << 30


@dataclasses.dataclass(eq=False)
class Test:
    """A test that passes where no mutant is chosen."""

    program: str
    name: str
    cpu_seconds: float
    reaches: set


def main():
    arguments = parse()
    arguments.out.mkdir(parents=True, exist_ok=True)
    mutants = sample(arguments)
    print(f"{len(mutants)} of them are tried", flush=True)
    tree = copy_tree(arguments.out)
    for kind in arguments.by:
        programs = build(tree, mutants, kind)
        tests = baseline(arguments, tree, programs)
        seconds = sum(it.cpu_seconds for it in tests)
        print(f"{len(tests)} {kind} tests, {seconds:.0f} s of CPU time", flush=True)
        judge(arguments, tree, [it for it in mutants if not it.verdict], tests)
        report(arguments, mutants)


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=int, default=500, help="mutants to try")
    parser.add_argument("--seed", type=int, default=1, help="of their order")
    parser.add_argument("--again", action="store_true", help="only those missed by the last run")
    parser.add_argument("--by", nargs="+", choices=ROUNDS, default=["unit", "suite"], help="rounds")
    parser.add_argument("--tests", nargs="+", default=[], help="only tests that begin like this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="tests at a time")
    parser.add_argument("--minutes", type=float, default=600, help="judge none after so long")
    parser.add_argument("--test-seconds", type=int, default=10, help="leave out longer tests")
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path(tempfile.gettempdir(), "stillpoint-mutants"),
        help="folder of the copy and the results",
    )
    return parser.parse_args()


def sample(arguments):
    """The mutants to try, in the order in which they are judged."""
    options = [word for glob in FILES for word in ("--file", glob)]
    options += [word for glob in NOT_FILES for word in ("--exclude", glob)]
    listed = json.loads(run_cargo(["mutants", "--list", "--json", "--no-config", *options]))
    # By name, so that the order does not depend on how they are listed.
    listed.sort(key=lambda it: it["name"])
    print(f"{len(listed)} mutants in all", flush=True)
    random.Random(arguments.seed).shuffle(listed)
    if arguments.again:
        verdicts = json.loads(results(arguments).read_text())
        listed = [it for it in listed if verdicts.get(it["name"]) == "missed"]
    else:
        listed = listed[: arguments.sample]
    return weave.mutants_of(listed, lambda file: (ROOT / file).read_text())


def run_cargo(words):
    return subprocess.run(["cargo", *words], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def copy_tree(out):
    """What git knows of, as it is now; what is the same as in an older copy keeps its time."""
    tree = out / "tree"
    known = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    )
    for name in filter(None, known.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            write(tree / name, (ROOT / name).read_bytes())
    return tree


def write(path, content):
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def build(tree, mutants, kind):
    """Weaves all mutants that compile and have no verdict into the copy; returns its tests."""
    targets, level = ROUNDS[kind]
    profile = f"--config=profile.release.package.stillpoint.opt-level={level}"
    command = ["cargo", profile, *BUILD, *targets]
    while True:
        lines = put_in(tree, [it for it in mutants if not it.verdict])
        built = subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = [json.loads(line) for line in built.stdout.splitlines() if line.startswith(b"{")]
        if built.returncode == 0:
            tests = [it for it in said if it.get("executable") and it["profile"]["test"]]
            return {it["target"]["name"]: it["executable"] for it in tests}
        errors = [it["message"] for it in said if it["reason"] == "compiler-message"]
        errors = [it for it in errors if it["level"] == "error" and it["spans"]]
        blamed = {mutant for error in errors for mutant in blame(error, lines)}
        print(f"{len(errors)} errors, {len(blamed)} mutants do not compile", flush=True)
        if not blamed:
            sys.exit("".join(it["rendered"] for it in errors) or built.stderr.decode())


def put_in(tree, mutants):
    """Writes the copy with these mutants, and returns where each lies: file, lines, mutant."""
    write(tree / "src/mutant.rs", weave.SWITCH.encode())
    library = (ROOT / "src/lib.rs").read_text()
    library = library.replace("pub mod backend;", "pub mod mutant;\npub mod backend;", 1)
    first_item = library.index("\npub mod")
    library = f"{library[:first_item]}\n#![allow(warnings)]\n{library[first_item:]}"
    write(tree / "src/lib.rs", library.encode())
    lines = []
    for path in sorted({path for glob in FILES for path in ROOT.glob(glob)}):
        file = str(path.relative_to(ROOT))
        its = [it for it in mutants if it.file == file]
        text, where = weave.weave(path.read_text(), its)
        write(tree / file, text.encode())
        lines += [(file, *span, mutant) for mutant, span in where.items()]
    return lines


def blame(error, lines):
    """Leaves out the mutants in whose lines an error lies, and returns them."""
    spans = sorted(error["spans"], key=lambda it: not it["is_primary"])
    for span in spans:
        for file, first, after, mutant in lines:
            if span["file_name"] == file and first <= span["line_start"] < after:
                mutant.verdict = "does not compile"
                return [mutant]
    return []


def baseline(arguments, tree, programs):
    """Runs every test alone, and learns what it costs and which mutants it reaches."""

    def try_one(program, name):
        with tempfile.NamedTemporaryFile() as told:
            limit = arguments.test_seconds
            ended = run(tree, program, [name], limit, {"MUTANTS_REACHED": told.name})
            reached = {int(line) for line in pathlib.Path(told.name).read_text().split()}
        if ended.outcome == "passed" and reached:
            return Test(program, name, ended.cpu_seconds, reached)
        return None

    named = []
    for target, program in programs.items():
        listed = subprocess.run(
            [program, "--list", "--format=terse"], cwd=tree, check=True, stdout=subprocess.PIPE
        )
        names = [line[: -len(": test")] for line in listed.stdout.decode().splitlines()]
        begins = tuple(arguments.tests or (SUITE if target == "suite" else [""]))
        named += [(program, it) for it in names if it.startswith(begins)]
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        return [it for it in pool.map(lambda it: try_one(*it), named) if it]


@dataclasses.dataclass
class Ended:
    outcome: str
    cpu_seconds: float
    output: str


def run(tree, program, names, cpu_seconds_max, environment):
    """Runs these tests; where they end for another reason than that all passed, they failed."""

    def limit():
        seconds = int(cpu_seconds_max) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    with tempfile.TemporaryDirectory(prefix="mutant-") as scratch, tempfile.TemporaryFile() as said:
        environment = {**os.environ, "TMPDIR": scratch, "RUST_BACKTRACE": "0", **environment}
        begun = time.monotonic()
        process = subprocess.Popen(
            [program, "--exact", "--test-threads=1", *names],
            cwd=tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            preexec_fn=limit,
        )
        # Who waits for ever uses no CPU time; who shares the machine may get little of it.
        status, used = wait(process, begun + 60 + 20 * cpu_seconds_max)
        said.seek(0)
        output = said.read().decode(errors="replace")
    outcome = "passed" if status == 0 else "timeout" if status < 0 else "failed"
    return Ended(outcome, used, output)


def wait(process, deadline):
    """Waits for the process and all it began; returns its status and seconds of CPU time."""
    pause = 0.002
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
        time.sleep(pause)
        pause = min(0.1, pause * 1.5)
    process.returncode = os.waitstatus_to_exitcode(status)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    return process.returncode, usage.ru_utime + usage.ru_stime


def judge(arguments, tree, mutants, tests):
    """Tries every mutant, and gives those that are caught their verdict."""
    until = time.monotonic() + 60 * arguments.minutes

    def judge_one(mutant):
        if time.monotonic() > until:
            return "not judged", ""
        return verdict(tree, mutant, [it for it in tests if mutant.number in it.reaches])

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for mutant, (outcome, why) in zip(mutants, pool.map(judge_one, mutants)):
            print(f"{outcome:10} {mutant.name}  {why}", flush=True)
            mutant.verdict = "" if outcome == "missed" else outcome


def verdict(tree, mutant, tests):
    """Whether one of these tests notices the mutant, the cheap ones first."""
    tests.sort(key=lambda it: it.cpu_seconds)
    if not tests:
        return "missed", "no test reaches it"
    while tests:
        batch = [tests.pop(0)]
        # Many that cost little run in one process, of one program.
        while tests and tests[0].program == batch[0].program and cost(batch) < 0.5:
            batch.append(tests.pop(0))
        names = [it.name for it in batch]
        limit = 5 + 5 * cost(batch)
        ended = run(tree, batch[0].program, names, limit, {"MUTANT": str(mutant.number)})
        if ended.outcome != "passed":
            failed = [line for line in ended.output.splitlines() if line.endswith("... FAILED")]
            by = failed[0].removeprefix("test ").removesuffix(" ... FAILED") if failed else names[0]
            return "caught", f"{ended.outcome}: {by}"
    return "missed", ""


def cost(tests):
    return sum(it.cpu_seconds for it in tests)


def results(arguments):
    return arguments.out / "verdicts.json"


def report(arguments, mutants):
    """Keeps the verdicts, and prints the score and what nothing noticed."""
    verdicts = {it.name: it.verdict or "missed" for it in mutants}
    results(arguments).write_text(json.dumps(verdicts, indent=1))
    counts = collections.Counter(verdicts.values())
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    score = 100 * counts["caught"] / max(1, counts["caught"] + counts["missed"])
    print(f"\n{told}; score {score:.1f} %")
    for name in sorted(name for name, outcome in verdicts.items() if outcome == "missed"):
        print(f"- `{name}`")


if __name__ == "__main__":
    main()
