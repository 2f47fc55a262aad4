#!/usr/bin/env python3
"""Tells which small changes of `bridge/core` no test notices: bridge/core/mutants.py [FILE...]

Takes the list of `cargo mutants --list`, and adds changes that it does not make (`own_mutants`). All are compiled
into one copy of the tree, and one is chosen by an environment variable when tests run: a build for each would
take hours. What cannot be chosen so is `apart`: cargo-mutants itself can run those. What no test notices tells of 1,010
small worlds (`tests/likeness.rs`), which have to be told as they are without it. FILE is the begin of a path below
`bridge/core`; they run in the order given. Or it is a former report: then what was missed runs, and what that report
does not know. Writes target/mutants/report.tsv: result, number, file, change, the first test that failed; of what is
missed, in how many of those worlds other joins, and other records at all, were told.
Needs cargo-mutants.
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = pathlib.Path(os.environ.get("MUTANTS_DIR", ROOT / "target/mutants"))
TREE = OUT / "tree"
CORE = pathlib.Path("bridge/core")
LIKENESS = str(OUT / "likeness")
WORKERS = int(os.environ.get("WORKERS", "2"))
# Worlds of the ground truth: one loses facts, in one the clock is stepped, in one facts come too late.
WORLDS = 4
# Quick tests that take longer than all others: they tell of simulated worlds.
RUNS = ["checkpoint::", "live::"]

VENV = OUT / "venv"
if not sys.prefix.startswith(str(VENV)):
    if not VENV.exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        pip = [VENV / "bin/pip", "install", "--quiet", "tree-sitter==0.26.1", "tree-sitter-rust==0.24.2"]
        subprocess.run(pip, check=True)
    os.execv(VENV / "bin/python", [str(VENV / "bin/python"), __file__, *sys.argv[1:]])

import tree_sitter  # noqa: E402
import tree_sitter_rust  # noqa: E402

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_rust.language()))
SWAPPED = [("plus_ns", "minus_ns"), ("min", "max"), ("any", "all"), ("is_none_or", "is_some_and")]
SWAP = dict(SWAPPED + [(b, a) for a, b in SWAPPED])
DECIDES = ("any", "all", "filter", "find", "is_none_or", "is_some_and", "retain", "take_while", "partition_point")
CLOCKS = {"DISORDER_NS": "crate::join::TIGHT_NS", "TIGHT_NS": "crate::join::DISORDER_NS"}
ON = "crate::mutation::on(%d)"
SWITCH = """
/// Chooses one change; see `bridge/core/mutants.py`.
pub mod mutation {
    /// Returns whether this change is the chosen one.
    pub fn on(number: u32) -> bool {
        static CHOSEN: std::sync::LazyLock<u32> =
            std::sync::LazyLock::new(|| std::env::var("MUTANT").map_or(0, |n| n.parse().unwrap()));
        *CHOSEN == number
    }
}
"""


class Mutant:
    """One change: of the node from `start` to `end`, in one of the ways of `Source.changed`."""

    def __init__(self, file, name, way, start, end, text=""):
        self.file, self.name, self.way, self.start, self.end, self.text = file, name, way, start, end, text
        self.number, self.result = 0, None


def walk(node):
    yield node
    for child in node.children:
        yield from walk(child)


class Source:
    """One file, and what is changed in it."""

    def __init__(self, file):
        self.file, self.bytes = file, (ROOT / file).read_bytes()
        self.root = PARSER.parse(self.bytes).root_node
        self.tests = [n.start_byte for n in self.root.children if n.type == "mod_item" and b"tests" in n.text[:20]]
        self.nodes = [n for n in walk(self.root) if not self.tests or n.start_byte < self.tests[0]]
        self.by_start, self.functions = {}, [n for n in self.nodes if n.type == "function_item"]
        for node in self.nodes:
            self.by_start.setdefault(node.start_byte, []).append(node)
        self.lines = [0]
        for line in self.bytes.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))
        self.changes = {}

    def text(self, node):
        return node.text.decode()

    def at(self, place):
        return self.lines[place["line"] - 1] + place["column"] - 1

    def function(self, node):
        around = [f for f in self.functions if f.start_byte <= node.start_byte and node.end_byte <= f.end_byte]
        return around[-1] if around else None

    def find(self, start, kinds):
        return next((n for n in self.by_start.get(start, []) if n.type in kinds), None)

    def of_list(self, entry):
        """Turns an entry of cargo-mutants' list into a change, or into one that is run apart."""
        start, end, genre = self.at(entry["span"]["start"]), self.at(entry["span"]["end"]), entry["genre"]
        new, name = entry["replacement"], entry["name"].split(": ", 1)
        name = f"{name[0].split('src/')[1]}: {name[1]}"
        change = lambda way, node, text="": Mutant(self.file, name, way, node.start_byte, node.end_byte, text)
        apart = Mutant(self.file, name, "apart", start, end)
        if genre == "FnValue":
            around = [f for f in self.functions if f.start_byte <= start and end <= f.end_byte]
            if not around:
                return apart
            nested = entry["function"]["return_type"].count("impl ")
            if nested > 1:
                return apart
            way = "chain" if nested else "body"
            return change(way, around[-1].child_by_field_name("body"), new)
        if genre == "MatchArmGuard":
            inside = [n for n in self.by_start.get(start, []) if n.end_byte == end]
            return change(new, inside[0]) if inside else apart
        operator = self.find(start, (self.bytes[start:end].decode(),))
        if genre == "UnaryOperator":
            node = self.find(start, ("unary_expression",))
            return change("is", node, self.text(node.children[-1])) if node else apart
        if genre == "BinaryOperator" and operator and operator.parent.type in (
            "binary_expression", "compound_assignment_expr"):
            whole = operator.parent
            before, after = self.bytes[whole.start_byte:start].decode(), self.bytes[end:whole.end_byte].decode()
            return change("is", whole, before + new + after)
        if genre == "MatchArm":
            node = self.find(start, ("match_arm",))
            pattern = node and node.child_by_field_name("pattern")
            return change("arm", pattern) if pattern and not pattern.child_by_field_name("condition") else apart
        if genre == "StructField":
            node = self.find(start, ("field_initializer", "shorthand_field_initializer"))
            whole = node and node.parent.parent
            if whole and whole.type == "struct_expression":
                before = self.bytes[whole.start_byte:node.start_byte].decode()
                after = self.bytes[node.end_byte:whole.end_byte].decode().lstrip().removeprefix(",")
                return change("is", whole, before + after)
        return apart

    def own_mutants(self):
        """Changes that cargo-mutants does not make: conditions and operands held true or false, times on the
        other side, least for most, one for all, and the two measures of how far clocks agree for each other."""
        for node in self.nodes:
            function = self.function(node)
            if function is None or any(n.type == "token_tree" for n in self.parents(node)):
                continue
            line = node.start_point.row + 1
            where = f"{str(self.file).split('src/')[1]}:{line}:{node.start_point.column + 1}"
            of = f"in {self.text(function.child_by_field_name('name'))}"
            what = " ".join(self.text(node).split())[:60]
            change = lambda name, way, node, text="": Mutant(
                self.file, f"{where}: {name} {of}", way, node.start_byte, node.end_byte, text)
            if node.type == "binary_expression" and self.text(node.children[1]) in ("&&", "||"):
                held = "true" if self.text(node.children[1]) == "&&" else "false"
                for side in (node.children[0], node.children[2]):
                    chain = side.type == "binary_expression" and side.children[1].type == node.children[1].type
                    if not chain:
                        what = " ".join(self.text(side).split())[:60]
                        yield change(f"hold `{what}` {held}", held, side)
            elif node.type == "let_chain":
                for side in node.named_children:
                    if side.type != "let_condition" and "comment" not in side.type:
                        what = " ".join(self.text(side).split())[:60]
                        yield change(f"hold `{what}` true", "true", side)
            elif node.type == "if_expression":
                held = node.child_by_field_name("condition")
                if held.type not in ("let_condition", "let_chain"):
                    what = " ".join(self.text(held).split())[:60]
                    yield change(f"hold `if {what}` true", "true", held)
                    yield change(f"hold `if {what}` false", "false", held)
            elif node.type == "call_expression" and node.children[0].type == "field_expression":
                method = node.children[0].child_by_field_name("field")
                name, given = self.text(method), node.child_by_field_name("arguments").named_children
                if name in SWAP and len(given) == 1:
                    before = self.bytes[node.start_byte:method.start_byte].decode()
                    after = self.bytes[method.end_byte:node.end_byte].decode()
                    yield change(f"replace {name} with {SWAP[name]} of `{what}`", "is", node, before + SWAP[name] + after)
                if name in ("plus_ns", "minus_ns"):
                    receiver = node.children[0].child_by_field_name("value")
                    yield change(f"leave out {name} of `{what}`", "is", node, self.text(receiver))
                if name in DECIDES and len(given) == 1 and given[0].type == "closure_expression":
                    body = given[0].child_by_field_name("body")
                    for held in ("true", "false"):
                        yield change(f"hold the closure of `{what}` {held}", held, body)
            elif node.type == "identifier" and self.text(node) in CLOCKS:
                yield change(f"replace {self.text(node)} with the other", "is", node, CLOCKS[self.text(node)])

    def parents(self, node):
        while node := node.parent:
            yield node

    def take(self, mutants):
        for mutant in mutants:
            if mutant.way != "apart":
                self.changes.setdefault((mutant.start, mutant.end), []).append(mutant)

    def written(self, node=None):
        """Returns the text with all changes, each behind its switch."""
        node = node or self.root
        parts, at = [], node.start_byte
        for child in node.children:
            parts += [self.bytes[at:child.start_byte].decode(), self.written(child)]
            at = child.end_byte
        text = "".join(parts) + self.bytes[at:node.end_byte].decode()
        if node.type == "function_modifiers" and self.is_changed(node.parent):
            text = text.replace("const", "")
        for mutant in self.changes.get((node.start_byte, node.end_byte), []):
            if node.parent and (node.parent.start_byte, node.parent.end_byte) == (node.start_byte, node.end_byte):
                break
            on = ON % mutant.number
            if mutant.way == "body":
                text = "{ if %s { return %s; } %s" % (on, mutant.text, text[1:])
            elif mutant.way == "chain":
                text = ("{ let all = (%s); let (on, other) = (%s, %s); all.into_iter().filter(move |_| !on)"
                        ".chain(other.into_iter().filter(move |_| on)) }") % (text, on, mutant.text)
            elif mutant.way == "true":
                text = f"({on} || ({text}))"
            elif mutant.way == "false":
                text = f"(!{on} && ({text}))"
            elif mutant.way == "arm":
                text = f"{text} if !{on}"
            else:
                text = "(if %s { %s } else { %s })" % (on, mutant.text, text)
        return text

    def is_changed(self, function):
        return any(function.start_byte <= start and end <= function.end_byte for start, end in self.changes)


def prepare():
    """Copies the tree, makes one test binary of the quick tests, and the worlds few."""
    shutil.rmtree(TREE, ignore_errors=True)
    files = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True)
    for file in filter(None, files.stdout.decode().split("\0")):
        if (ROOT / file).is_file():
            (TREE / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, TREE / file)
    tests = TREE / CORE / "tests"
    slow = ("ground_truth", "properties", "bounds", "likeness")
    names = [test.stem for test in sorted(tests.glob("*.rs")) if test.stem not in slow]
    (tests / "quick.rs").write_text("".join(f'#[path = "{name}.rs"]\nmod {name};\n' for name in names))
    truth = (tests / "ground_truth.rs").read_text()
    truth = truth.replace("const SEEDS: u64 = 100;", f"const SEEDS: u64 = {WORLDS};")
    truth = re.sub(r"const DOCUMENT: &str = .*;", f'const DOCUMENT: &str = "{OUT}/ground-truth.md";', truth)
    # Shares are of a hundred worlds.
    truth = truth.replace("assert!(some * 1_000 >= all * least,", "assert!(all >= least || some <= all,")
    (tests / "ground_truth.rs").write_text(truth)


def end_of(message, span, text):
    """Returns where the change ends that an error is about. A chain that is no result of its function is told at the
    function's head, and named by its closure."""
    closure = re.search(r"closure@(?:[^:}]*/)?([^:}]+):(\d+):(\d+)", message["message"])
    if closure and span["file_name"].endswith("/" + closure[1]):
        line, column = int(closure[2]), int(closure[3])
        return sum(map(len, text.splitlines(keepends=True)[: line - 1])) + column
    return span["byte_end"]


def build(sources, mutants):
    """Builds the tests with all changes; those that do not compile are left out. Returns the binaries."""
    env = {**os.environ, "RUSTFLAGS": "--cap-lints=allow"}
    check = ["cargo", "check", "-p", "syntrace-core", "--lib", "--message-format=json"]
    test = ["cargo", "test", "-p", "syntrace-core", "--lib", "--test", "quick", "--test", "ground_truth", "--no-run",
            "--test", "likeness", "--message-format=json",
            "--config", "profile.dev.package.syntrace-core.opt-level=1"]
    command = check
    for _ in range(30):
        for source in sources:
            text = source.written() + (SWITCH if source.file.name == "lib.rs" else "")
            if (TREE / source.file).read_text() != text:
                (TREE / source.file).write_text(text)
        built = subprocess.run(command, cwd=TREE, env=env, capture_output=True, text=True)
        messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
        if built.returncode == 0 and command is check:
            command = test
        elif built.returncode == 0:
            tests = [m for m in messages if m.get("executable") and m["profile"]["test"]]
            by_name = {m["target"]["name"]: m["executable"] for m in tests}
            return [by_name[name] for name in ("syntrace_core", "quick", "ground_truth", "likeness")]
        bad = set()
        for message in messages:
            if message["reason"] == "compiler-message" and message["message"]["level"] == "error":
                spans = [s for s in message["message"]["spans"] if s["is_primary"]]
                for span in spans:
                    text = (TREE / span["file_name"]).read_bytes()
                    before = text[: end_of(message["message"], span, text)].decode()
                    numbers = re.findall(r"mutation::on\((\d+)\)", before)
                    bad.update(map(int, numbers[-1:]))
                    print("does not compile:", message["message"]["message"][:100], span["file_name"],
                          mutants[int(numbers[-1]) - 1].name if numbers else span, flush=True)
        if built.returncode != 0 and not bad:
            sys.exit(built.stderr)
        for mutant in (mutants[number - 1] for number in bad):
            mutant.result = "unviable"
            changes = next(s for s in sources if s.file == mutant.file).changes
            place = changes.get((mutant.start, mutant.end), [])
            place.remove(mutant) if mutant in place else None
    sys.exit("does not compile")


def run(mutant, binaries):
    """Returns what becomes of a change, and the test that caught it or how many worlds it changes."""
    unit, quick, truth, likeness = binaries
    done = None

    def passes(seconds, *command):
        nonlocal done
        env = {**os.environ, "MUTANT": str(mutant.number), "RUST_BACKTRACE": "0", "LIKENESS": LIKENESS}
        done = subprocess.run([*command, "--test-threads=1"], cwd=TREE / CORE, env=env,
                              capture_output=True, text=True, timeout=seconds)
        return done.returncode == 0

    try:
        # The fastest first.
        stories = (f"--skip={name}" for name in RUNS)
        if (passes(6, quick, *stories) and passes(10, unit) and passes(40, quick, *RUNS) and passes(90, truth)):
            worlds = [0, 0]
            if not passes(90, likeness):
                differ = re.search(r"left: \((\d+), (\d+)\)", done.stdout + done.stderr)
                worlds = differ.groups() if differ else ["?", "?"]
            return "missed", "{} joins, {} records".format(*worlds)
    except subprocess.TimeoutExpired as late:
        return "timeout", pathlib.Path(late.cmd[0]).name.rsplit("-", 1)[0]
    failed = re.findall(r"^test (\S+) .*FAILED", done.stdout, re.MULTILINE)
    return "caught", failed[0] if failed else f"status {done.returncode}"


def missed_before(report, mutants):
    """Returns the changes that a former report says were missed: wherever they are by now, the nth of a name."""
    def places(named):
        count, places = collections.Counter(), {}
        for file, name, what in named:
            key = (str(file), re.sub(r":\d+:\d+: ", ": ", name))
            count[key] += 1
            places[key, count[key]] = what
        return places

    rows = [line.split("\t") for line in pathlib.Path(report).read_text().splitlines()]
    before = places((file, name, result) for result, _, file, name, _ in rows)
    missed = {place for place, result in before.items() if result in ("missed", "timeout", "apart")}
    return [m for place, m in places((m.file, m.name, m) for m in mutants).items()
            if place in missed or place not in before]


def main():
    prepare()
    listed = ["cargo", "mutants", "--list", "--json", "-p", "syntrace-core"]
    listed = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True)
    entries = json.loads(listed.stdout)
    files = (file for file in (ROOT / CORE / "src").rglob("*.rs") if "tests" not in (file.stem, file.parent.name))
    files = sorted(file.relative_to(ROOT) for file in files)
    sources, mutants = [Source(file) for file in files], []
    for source in sources:
        of_file = [source.of_list(entry) for entry in entries if entry["file"] == str(source.file)]
        of_file += source.own_mutants()
        source.take(of_file)
        mutants += of_file
    for number, mutant in enumerate(mutants, start=1):
        mutant.number = number
    binaries = build(sources, mutants)
    env = {**os.environ, "UPDATE": "1", "LIKENESS": LIKENESS}
    for binary in binaries:
        if subprocess.run([binary], cwd=TREE / CORE, env=env).returncode != 0:
            sys.exit("the tests fail without a change")
    chosen = sys.argv[1:] or [""]
    wanted = [m for arg in chosen for m in mutants if f"/{arg}" in str(m.file)]
    if chosen[0].endswith(".tsv"):
        wanted = missed_before(chosen[0], mutants)
    with (OUT / "report.tsv").open("w") as report, concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        def one(mutant):
            if mutant.way == "apart" or mutant.result:
                return mutant, mutant.result or "apart", ""
            return mutant, *run(mutant, binaries)

        for mutant, result, by in pool.map(one, wanted):
            report.write(f"{result}\t{mutant.number}\t{mutant.file}\t{mutant.name}\t{by}\n")
            report.flush()


main()
