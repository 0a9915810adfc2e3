"""The rooms stand on floors: a room imports from lower floors and from itself, and no modules import in a circle."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "serjax"
FLOORS = (
    ("runtime",),
    ("audio",),
    ("video", "evaluation"),
    ("models", "data"),
    ("checkpoints", "features", "training"),
    ("config", "inference"),
    ("runs", "cli"),
    (
        *(
            "compare",
            "embed",
            "evaluate",
            "export",
            "gather",
            "layers",
            "listen",
            "look",
            "plan",
            "predict",
            "pretrain",
            "push",
        ),
        *("prepare", "pretrain", "serve", "study", "train"),
    ),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS, 1) for room in rooms}


def module_of(path):
    """Return a file's module without the package's name: ("data", "store", "clips")."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {module_of(path): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}


def imported(tree, *, at_once=False):
    """Yield the modules of serjax that a module imports: all, or those that it needs to be imported itself."""
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        later = isinstance(node, ast.FunctionDef) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        )
        if not (at_once and later):
            nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # What is imported from a package may be a module in it.
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            first, *module = name.split(".")
            if first == "serjax" and tuple(module) in MODULES:
                yield tuple(module)


def test_a_room_imports_from_lower_floors_and_itself():
    wrong = {
        f"{'.'.join(module)} imports {'.'.join(other)}"
        for module, tree in MODULES.items()
        for other in imported(tree)
        if module and other and module[0] != other[0] and FLOOR[module[0]] <= FLOOR[other[0]]
    }
    assert wrong == set()


def test_no_modules_import_each_other_in_a_circle():
    waiting = {module: set(imported(tree, at_once=True)) - {module, ()} for module, tree in MODULES.items()}
    while free := {module for module, needed in waiting.items() if not needed & waiting.keys()}:
        for module in free:
            del waiting[module]
    assert {".".join(module): sorted(map(".".join, needed)) for module, needed in waiting.items()} == {}


def test_only_commands_print_read_arguments_and_exit():
    doors = {(name,) for name in (*FLOORS[-1], "cli")}
    used = {
        (".".join(module), ast.unparse(node.func if isinstance(node, ast.Call) else node))
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call | ast.Attribute) and module not in doors
    }
    assert {one for one in used if one[1] in ("print", "sys.argv", "sys.exit", "exit")} == set()
