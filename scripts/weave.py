"""Puts many mutants into one build, each behind a number that is chosen when a test runs.

cargo-mutants tells a mutant as a text that replaces another inside a function. Building the program
once for each would take hours; here the body of the function becomes

    {
        if crate::mutant::is(7) { the body with mutant 7 }
        else if crate::mutant::is(8) { the body with mutant 8 }
        else { the body as it is }
    }

which means the same and is built once. A mutant that does not compile is told by the line of the
error, and left out of the next try.
"""

import dataclasses
import re

# Where a brace does not count: comments, strings, characters.
SKIPPED = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | [bc]?r(\#*)".*?"\1 | [bc]?"(?:\\.|[^"\\])*"
      | b?'(?:\\(?:u\{[^}]*\}|x..|.)|[^'\\])'""",
    re.X | re.S,
)
BRACE = re.compile(SKIPPED.pattern + r"| (?P<brace>[{}])", re.X | re.S)
CONST = re.compile(r"\bconst\s+fn\b")

# Chosen by an environment variable, or nothing is and the numbers of all that are reached are told.
SWITCH = """
use std::{
    env, fs, io::Write,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};

const UNKNOWN: u32 = u32::MAX;
const TELLING: u32 = u32::MAX - 1;
static CHOSEN: AtomicU32 = AtomicU32::new(UNKNOWN);
static TOLD: [AtomicBool; 65536] = [const { AtomicBool::new(false) }; 65536];

#[inline]
pub fn is(number: u32) -> bool {
    let chosen = CHOSEN.load(Relaxed);
    if chosen < TELLING { chosen == number } else { ask(number) }
}

#[cold]
fn ask(number: u32) -> bool {
    if CHOSEN.load(Relaxed) == UNKNOWN {
        let chosen = env::var("MUTANT").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let telling = env::var_os("MUTANTS_REACHED").is_some();
        CHOSEN.store(if telling { TELLING } else { chosen }, Relaxed);
        return is(number);
    }
    if !TOLD[number as usize].swap(true, Relaxed) {
        let path = env::var_os("MUTANTS_REACHED").unwrap();
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(format!("{number}\\n").as_bytes()).unwrap();
    }
    false
}
"""


@dataclasses.dataclass(eq=False)
class Mutant:
    """One change: characters `start` to `end` of a file become `replacement`."""

    number: int
    name: str
    file: str
    returns: str
    function: tuple[int, int]
    start: int
    end: int
    replacement: str
    # What became of it, once that is known.
    verdict: str = ""


def mutants_of(listed, text_of):
    """The mutants of `cargo mutants --list --json`, numbered from 1."""
    starts = {file: line_starts(text_of(file)) for file in {it["file"] for it in listed}}

    def offset(file, place):
        return starts[file][place["line"] - 1] + place["column"] - 1

    found = []
    for number, it in enumerate(listed, 1):
        file, function = it["file"], it["function"]
        mutant = Mutant(
            number=number,
            name=it["name"],
            file=file,
            returns=function["return_type"] if function else "",
            function=tuple(offset(file, function["span"][at]) for at in ("start", "end"))
            if function
            else (0, 0),
            start=offset(file, it["span"]["start"]),
            end=offset(file, it["span"]["end"]),
            replacement=it["replacement"],
        )
        if not function:
            mutant.verdict = "outside a function"
        found.append(mutant)
    return found


def line_starts(text):
    return [0, *(found.end() for found in re.finditer("\n", text))]


def body(text, function):
    """The braces around the body of a function: of all outermost pairs, the last."""
    depth, outermost = 0, None
    for found in BRACE.finditer(text, *function):
        if found["brace"] == "{":
            begun = found.start() if depth == 0 else begun
            depth += 1
        elif found["brace"] == "}":
            depth -= 1
            outermost = (begun, found.start()) if depth == 0 else outermost
    return outermost


def weave(text, mutants):
    """The file with all these mutants in it, and for each its first line and that after its last."""
    functions = {}
    for mutant in mutants:
        # A function inside another one that has mutants is woven as a part of it.
        around = [it.function for it in mutants if contains(it.function, mutant.function)]
        functions.setdefault(max(around, key=lambda it: it[1] - it[0]), []).append(mutant)
    pieces, at = [], 0
    for function in sorted(functions):
        braces = body(text, function)
        pieces.append((text[at : function[0]], None))
        # What asks for the number of a mutant can run at run time only.
        pieces.append((CONST.sub("fn", text[function[0] : braces[0]]), None))
        pieces += alternatives(text, braces, functions[function])
        at = function[1]
    pieces.append((text[at:], None))
    return "".join(piece for piece, _ in pieces), lines_of(pieces)


def contains(outer, inner):
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def alternatives(text, braces, mutants):
    """The new body of a function, in pieces that each belong to a mutant or to none."""
    begin, end = braces[0] + 1, braces[1]
    boxed = boxed_type(mutants[0].returns)
    before, after = (f"Box::new({{", f"}}) as {boxed}") if boxed else ("", "")
    pieces = [("{\n", None)]
    for mutant in mutants:
        changed = f"{text[begin:mutant.start]} {mutant.replacement} {text[mutant.end:end]}"
        pieces.append((f"if crate::mutant::is({mutant.number}) {{\n", None))
        pieces.append((f"{before}{changed}\n{after}\n", mutant))
        pieces.append(("} else ", None))
    pieces.append((f"{{{before}{text[begin:end]}\n{after}}}\n}}", None))
    return pieces


def boxed_type(returns):
    """Two bodies that return `impl Trait` return two types, unless they are boxed."""
    found = re.match(r"-> impl (.*)", returns, re.S)
    if not found:
        return None
    return f"Box<dyn {re.sub(r'[+] *use *<[^>]*>', '', found[1])}>"


def lines_of(pieces):
    lines, line = {}, 1
    for piece, mutant in pieces:
        after = line + piece.count("\n")
        if mutant:
            lines[mutant] = (line, after)
        line = after
    return lines
