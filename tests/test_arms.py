"""The two arms of a gate: what --base and --head may be, and that each is started from its own files."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trees

from gatebench import declare, envs, fake, machine, plan, session
from gatebench.arms import Arm, arms
from gatebench.backends.containers.backend import ContainerBackend
from gatebench.backends.containers.engine import Engine
from gatebench.backends.containers.images import Images, tag
from gatebench.backends.process import ProcessBackend
from gatebench.backends.programs import scratch_folder
from gatebench.backends.services import Services
from gatebench.errors import MachineError, UsageError
from gatebench.model import Containment, Load, Measure, Plan
from gatebench.parties import Backend
from gatebench.session import Tree

SHOP = 'interface = "wsgi"\ntarget = "app:app"\n[[paths]]\npath = "/"\n'
STACK = "hello+stdlib"
ANSWER = "Hello, World!"
NOTHING = Services(urls={}, variables={}, pids=(), facts={})
Made = tuple[Tree, Arm, Arm]


def git(folder: Path, *words: str) -> str:
    around = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "PATH": os.environ["PATH"]}
    told = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", "-C", str(folder), *told, *words], capture_output=True, text=True, check=True, env=around
    )
    return done.stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def scratch() -> Iterator[Path]:
    with scratch_folder() as folder:
        yield folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree of two commits, below the top of its repository: the second answers something else."""
    git(tmp_path, "init", "--quiet")
    root = tmp_path / "project"
    root.mkdir()
    trees.small(root)
    (root / ".gitignore").write_text(".envs/\n", encoding="utf-8")
    commit(tmp_path, "one")
    rewrite(root / "apps" / "hello" / "app.py", ANSWER, "Hello again")
    rewrite(root / "compose" / "servers" / "stdlib.toml", "keep_alive_s = 5", "keep_alive_s = 9")
    commit(tmp_path, "two")
    return root


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Somebody's own app, of two commits, in a repository that holds more than it."""
    folder = tmp_path / "theirs" / "shop"
    folder.mkdir(parents=True)
    git(folder.parent, "init", "--quiet")
    (folder.parent / "secret.txt").touch()
    (folder / "app.toml").write_text(SHOP, encoding="utf-8")
    (folder / "requirements.txt").write_text("flask>=2\n", encoding="utf-8")
    (folder / "app.py").write_text("app = 1\n", encoding="utf-8")
    commit(folder.parent, "one")
    (folder / "requirements.txt").write_text("flask>=3\n", encoding="utf-8")
    (folder / "app.py").write_text("app = 2\n", encoding="utf-8")
    commit(folder.parent, "two")
    git(folder.parent, "branch", "feature/x")
    return folder


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def of_tree(root: Path, scratch: Path, base: str, head: str) -> contextlib.AbstractContextManager[Made]:
    return arms(root, base=base, head=head, own=None, stack=STACK, scratch=scratch)


def of_shop(root: Path, scratch: Path, shop: Path, base: str, head: str) -> contextlib.AbstractContextManager[Made]:
    return arms(root, base=base, head=head, own=shop, stack=None, scratch=scratch)


def test_a_revision_of_a_tree_has_its_own_apps_and_servers_and_todays_scenarios(tree: Path, scratch: Path) -> None:
    rewrite(tree / "apps" / "hello" / "app.py", "Hello again", "Hello today")
    with of_tree(tree, scratch, "HEAD~1", ".") as (made, base, head):
        assert ANSWER in (base.stack.app.folder / "app.py").read_text(encoding="utf-8")
        assert base.stack.server.folder.parent == base.stack.app.folder.parent.parent, "launchers lie beside"
        assert (base.stack.settings["keep_alive_s"], head.stack.settings["keep_alive_s"]) == (5, 9)
        assert head.stack.app.folder == tree / "apps" / "hello", "the files as they are"
        assert made.scenarios["one"].path == tree / "scenarios" / "one.py"
        assert [*made.stacks.arms] == [f"base:{STACK}", f"head:{STACK}", f"again:{STACK}"]
        first, second = git(tree, "rev-parse", "HEAD~1")[:12], git(tree, "rev-parse", "HEAD")[:12]
        assert base.words == f"commit {first} (HEAD~1)"
        assert head.words == f"the working tree, commit {second} with changes"
    assert not any(scratch.iterdir()), "nothing is left of it"


def test_the_twin_is_the_base_in_all_but_its_name(tree: Path, scratch: Path) -> None:
    with of_tree(tree, scratch, "HEAD~1", "HEAD") as (made, base, _):
        twin = made.stacks.arms[f"again:{STACK}"]
        assert twin.arm == "again"
        assert replace(twin, arm="base") == base.stack


def test_both_arms_may_be_the_same(tree: Path, scratch: Path) -> None:
    with of_tree(tree, scratch, ".", ".") as (_, base, head):
        assert base.words == head.words == f"the working tree, commit {git(tree, 'rev-parse', 'HEAD')[:12]}"
        assert replace(base.stack, arm=None) == replace(head.stack, arm=None)


@pytest.mark.parametrize("ref", ["main", "git:main", "@", "v1"])
def test_a_revision_is_told_by_its_commit_and_as_it_was_asked_for(tree: Path, scratch: Path, ref: str) -> None:
    git(tree, "tag", "--annotate", "--message", "a tag", "v1")
    with of_tree(tree, scratch, ref, ".") as (_, base, _):
        assert base.words == f"commit {git(tree, 'rev-parse', 'HEAD')[:12]} ({ref.removeprefix('git:')})"


def test_a_commit_that_is_named_by_itself_is_told_once(tree: Path, scratch: Path) -> None:
    name = git(tree, "rev-parse", "--short", "HEAD~1")
    with of_tree(tree, scratch, name, ".") as (_, base, _):
        assert base.words == f"commit {git(tree, 'rev-parse', 'HEAD~1')[:12]}"


def test_another_tree_is_an_arm_as_it_is(tree: Path, tmp_path: Path, scratch: Path) -> None:
    other = trees.small(tmp_path / "another")
    with of_tree(tree, scratch, f"folder:{other}", ".") as (_, base, head):
        assert base.stack.app.folder == other / "apps" / "hello"
        assert base.stack.server.folder == other / "compose"
        assert base.words.endswith("/another")
        assert str(tmp_path) not in base.words
        assert head.stack.app.folder == tree / "apps" / "hello"


def test_an_own_app_of_a_revision_is_that_folder_alone_and_on_todays_servers(
    root: Path, shop: Path, scratch: Path
) -> None:
    with of_shop(root, scratch, shop, "HEAD~1", ".") as (made, base, head):
        assert (base.stack.name, head.stack.name) == ("base:shop+gunicorn-gthread", "head:shop+gunicorn-gthread")
        assert (base.stack.app.folder / "app.py").read_text(encoding="utf-8") == "app = 1\n"
        assert not (base.stack.app.folder.parent / "secret.txt").exists()
        assert (base.stack.app.requirements, head.stack.app.requirements) == (("flask>=2",), ("flask>=3",))
        assert base.stack.server == head.stack.server
        assert head.stack.app.folder == shop
        assert made.scenarios["own"].path.is_file()


def test_two_folders_of_apps_need_no_app_beside_them(root: Path, shop: Path, tmp_path: Path, scratch: Path) -> None:
    other = tmp_path / "shop-before"
    other.mkdir()
    for path in shop.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    made = arms(root, base=f"folder:{other}", head=f"folder:{shop}", own=None, stack=None, scratch=scratch)
    with made as (_, base, head):
        assert (base.stack.app.folder, head.stack.app.folder) == (other, shop)
        assert (base.stack.name, head.stack.name) == ("base:shop+gunicorn-gthread", "head:shop+gunicorn-gthread")
        assert (base.words.split("/")[-1], head.words.split("/")[-1]) == ("shop-before", "shop")


def test_an_asgi_app_is_on_uvicorn_where_no_stack_is_named(root: Path, shop: Path, scratch: Path) -> None:
    rewrite(shop / "app.toml", "wsgi", "asgi")
    with of_shop(root, scratch, shop, ".", ".") as (_, base, _):
        assert base.stack.name == "base:shop+uvicorn"


def test_arms_whose_paths_differ_are_refused_by_their_names(root: Path, shop: Path, scratch: Path) -> None:
    with (shop / "app.toml").open("a", encoding="utf-8") as file:
        file.write('[[paths]]\npath = "/new"\nmethod = "POST"\n')
    with (
        pytest.raises(UsageError, match=r"\[\[paths\]\] of base and head differ \(POST /new\)"),
        of_shop(root, scratch, shop, "HEAD", "."),
    ):
        pass


def test_services_are_those_of_either_arm(root: Path, shop: Path, scratch: Path) -> None:
    rewrite(shop / "app.toml", "[[paths]]", 'services = ["redis"]\n[[paths]]')
    with of_shop(root, scratch, shop, ".", "HEAD") as (made, _, _):
        assert made.scenarios["own"].services == ("redis",)


def test_requirements_stand_in_the_place_of_the_apps_own_and_the_shared_ones_stay(root: Path, scratch: Path) -> None:
    file = scratch / "older.txt"
    file.write_text("flask<3  # the last one\n\nwerkzeug<3\n", encoding="utf-8")
    with arms(root, base=f"requirements:{file}", head=".", own=None, stack=None, scratch=scratch) as (_, base, head):
        shared = declare.work(root)
        assert shared is not None
        assert base.stack.app.requirements == ("flask<3", "werkzeug<3", *shared.requirements)
        assert base.stack.server.requirements == head.stack.server.requirements
        assert base.words.startswith("the requirements of ")
        assert base.words.endswith("/older.txt")


def test_requirements_that_are_no_text_are_told_with_their_folder(tree: Path, scratch: Path) -> None:
    file = scratch / "packed.txt"
    file.write_bytes(b"\xff\xfe")
    with (
        pytest.raises(UsageError, match=rf"^--base requirements:{file}: cannot be read \('utf-8' codec"),
        of_tree(tree, scratch, f"requirements:{file}", "."),
    ):
        pass


VARIED = {
    "python=3.13": ("flask+gunicorn-gthread", "Python 3.13"),
    "threads=32": ("flask+gunicorn-gthread[threads=32]", "threads=32"),
    "threads=32,db=pymysql": ("flask+gunicorn-gthread[db=pymysql,threads=32]", "threads=32,db=pymysql"),
    "@tuned": ("flask+gunicorn-gthread@tuned", "profile tuned"),
    "pool_size=2@tuned": ("flask+gunicorn-gthread[pool_size=2]@tuned", "pool_size=2, profile tuned"),
    "stack:flask+waitress": ("flask+waitress", "stack flask+waitress"),
    "fastapi+uvicorn": ("fastapi+uvicorn", "stack fastapi+uvicorn"),
    "flask+waitress[threads=2]": ("flask+waitress[threads=2]", "stack flask+waitress[threads=2]"),
}


@pytest.mark.parametrize("ref", VARIED)
def test_what_is_varied_is_in_the_stack_and_in_words(root: Path, scratch: Path, ref: str) -> None:
    name, words = VARIED[ref]
    with arms(root, base=".", head=ref, own=None, stack=None, scratch=scratch) as (_, base, head):
        assert (head.stack.name, head.words) == (f"head:{name}", words)
        assert head.stack.python == ("3.13" if ref.startswith("python") else None)
        assert base.stack.name == "base:flask+gunicorn-gthread"


def test_settings_go_beside_those_that_the_stack_has(root: Path, scratch: Path) -> None:
    stack = "flask+gunicorn-gthread[db=pymysql,threads=4]"
    with arms(root, base=".", head="threads=32", own=None, stack=stack, scratch=scratch) as (_, base, head):
        assert base.stack.name == f"base:{stack}"
        assert head.stack.name == "head:flask+gunicorn-gthread[db=pymysql,threads=32]"


WRONG = {
    "": "names nothing; expected a git revision",
    "folder:": "names nothing",
    "git:": "^--head 'git:': this names nothing; expected a git revision",
    "nowhere": "git knows no revision 'nowhere'",
    "mian": "did you mean main",
    "--help": "git knows no revision '--help'",
    "HEAD~7": "git knows no revision 'HEAD~7'",
    "python=2.7": "'2.7' is no Python that stacks can run on",
    "python=3": "expected one from 3.11",
    "colour=blue": r"no setting, axis or profile of hello\+stdlib named 'colour'",
    "pool_sise=2": r"Did you mean pool_size\?",
    "v1.0+build5": "Nor is it a revision, as in git:v1.0\\+build5: git knows no revision 'v1.0\\+build5'",
    "workers": "git knows no revision 'workers'",
    "workers=": "'workers=' is no choice",
    "pool_size=1,pool_size=2": "names a setting twice",
    "@fastest": "no profile of stdlib named 'fastest'",
    "nothing-like+x": "no stack named 'nothing-like\\+x'. `gatebench list stacks` names those that there are",
    "stack:hello": "no stack named 'hello'",
    "stack:nothing-like+x": "no stack named 'nothing-like\\+x'. `gatebench list stacks` names those that there are",
    "hello+stdlb": "Did you mean hello\\+stdlib",
    "folder:nowhere": r"there is no such folder; expected a tree such as this one",
    "folder:/": "there is no apps in it; expected a tree such as this one, or two folders with an app.toml each",
    "requirements:nowhere.txt": "nowhere.txt: cannot be read",
    "requirements:/no/where.txt": r"^--head requirements:/no/where.txt: cannot be read \(No such file or directory\)",
}


@pytest.mark.parametrize("ref", WRONG)
def test_a_reference_that_means_nothing_is_told_with_what_helps(tree: Path, scratch: Path, ref: str) -> None:
    with pytest.raises(UsageError, match=WRONG[ref]) as raised, of_tree(tree, scratch, ".", ref):
        pass
    spelled = f"'{ref}'" if not ref or ref.endswith(":") else ref
    assert str(raised.value).startswith(f"--head {spelled}: ")
    assert str(scratch) not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not any(scratch.iterdir())


def test_a_stack_beside_two_arms_that_are_stacks_is_refused(root: Path, scratch: Path) -> None:
    words = {"own": None, "stack": "django+uwsgi", "scratch": scratch}
    with (
        pytest.raises(UsageError, match=r"--stack says nothing where --base and --head are stacks themselves"),
        arms(root, base="stack:fastapi+uvicorn", head="flask+gunicorn-sync", **words),  # type: ignore[arg-type]
    ):
        pass


def test_a_folder_that_is_not_said_to_be_one_is_told_how_to_say_it(tree: Path, tmp_path: Path, scratch: Path) -> None:
    with pytest.raises(UsageError, match=f"say folder:{tmp_path}"), of_tree(tree, scratch, str(tmp_path), "."):
        pass


TOO_LONG = ("{}", "git:{}", "a+{}", "folder:{}", "requirements:{}", "python={}", "{}=3", "threads={}", "stack:{}")


@pytest.mark.parametrize("spelled", TOO_LONG)
@pytest.mark.parametrize("arm", ["base", "head"])
def test_a_reference_that_is_too_long_for_anything_is_told_by_its_beginning(
    tree: Path, scratch: Path, spelled: str, arm: str
) -> None:
    refs = {"base": ".", "head": ".", arm: spelled.format("x" * 5000)}
    with pytest.raises(UsageError, match=f"^--{arm} .*x…") as raised, of_tree(tree, scratch, **refs):
        pass
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("arm", ["base", "head"])
def test_of_two_folders_the_one_that_cannot_be_looked_into_is_named(
    root: Path, shop: Path, scratch: Path, arm: str
) -> None:
    refs = {"base": f"folder:{shop}", "head": f"folder:{shop}", arm: "folder:" + "x" * 5000}
    with (
        pytest.raises(UsageError, match=rf"^--{arm} folder:x+…: x+… cannot be looked into \(File name too long\)\.$"),
        arms(root, own=None, stack=None, scratch=scratch, **refs),
    ):
        pass


def forbid(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let nobody look into a folder: root may, whatever its mode."""

    is_dir = Path.is_dir

    def kept(look: Callable[[Path], object]) -> Callable[[Path], object]:
        def looked(path: Path) -> object:
            if folder in (path, *path.parents) and not (path == folder and look is is_dir):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return look(path)

        return looked

    for name in ("is_file", "is_dir", "exists", "iterdir"):
        monkeypatch.setattr(Path, name, kept(getattr(Path, name)))


@pytest.mark.parametrize("below", ["", "apps", "compose/servers"])
def test_a_tree_that_may_not_be_looked_into_is_told_of_that_arm(
    tree: Path, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    other = trees.small(tmp_path / "another")
    forbid(monkeypatch, other / below)
    with (
        pytest.raises(UsageError, match=r"^--base folder:.*another.* cannot be looked into \(Permission denied\)\.$"),
        of_tree(tree, scratch, f"folder:{other}", "."),
    ):
        pass


def test_an_apps_folder_that_may_not_be_looked_into_is_told_of_that_arm(
    root: Path, shop: Path, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "private"
    forbid(monkeypatch, private)
    with (
        pytest.raises(
            UsageError, match=r"^--head folder:.*shop/app.toml cannot be looked into \(Permission denied\)\.$"
        ),
        of_shop(root, scratch, shop, ".", f"folder:{private}/shop"),
    ):
        pass


def test_a_folder_that_is_a_circle_of_links_is_none(tree: Path, tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "round").symlink_to("round")
    with (
        pytest.raises(UsageError, match=r"^--head folder:.*round: there is no such folder"),
        of_tree(tree, scratch, ".", f"folder:{tmp_path}/round"),
    ):
        pass


@pytest.mark.parametrize("spelled", ["v1.0+build5", "git:v1.0+build5"])
def test_a_tag_with_a_plus_is_a_revision_where_no_stack_has_its_name(tree: Path, scratch: Path, spelled: str) -> None:
    git(tree, "tag", "v1.0+build5", "HEAD~1")
    with of_tree(tree, scratch, spelled, ".") as (_, base, _):
        assert base.words == f"commit {git(tree, 'rev-parse', 'HEAD~1')[:12]} (v1.0+build5)"
        assert base.stack.name == f"base:{STACK}"


def test_a_stack_goes_before_a_tag_of_its_name(tree: Path, scratch: Path) -> None:
    git(tree, "tag", STACK, "HEAD~1")
    with of_tree(tree, scratch, STACK, f"git:{STACK}") as (_, base, head):
        assert base.words == f"stack {STACK}"
        assert head.words == f"commit {git(tree, 'rev-parse', 'HEAD~1')[:12]} ({STACK})"


@pytest.mark.parametrize(
    ("ref", "meant"),
    [("thread=3", "threads"), ("htpp=aiohttp", "http"), ("tuned=1", "@tuned"), ("threads=2,dbb=pymysql", "db")],
)
def test_the_nearest_of_settings_axes_and_profiles_is_suggested(
    root: Path, scratch: Path, ref: str, meant: str
) -> None:
    with (
        pytest.raises(UsageError, match=rf"^--head {ref}: there is no .* Did you mean {meant}\?$"),
        arms(root, base=".", head=ref, own=None, stack=None, scratch=scratch),
    ):
        pass


@pytest.mark.parametrize("kind", [UsageError, MachineError])
def test_what_cannot_be_prepared_of_an_arm_is_told_as_that_arm_was_asked_for(
    tree: Path, scratch: Path, kind: type[Exception]
) -> None:
    (tree / "new.txt").write_text("flask>=99\n", encoding="utf-8")
    ref = f"requirements:{tree}/new.txt"
    with pytest.raises(kind) as raised, of_tree(tree, scratch, ".", ref) as (_, _, head):
        raise kind(f"{head.stack.name}: The requirements cannot be met.")
    assert str(raised.value) == f"--head {ref}: The requirements cannot be met."


def test_what_goes_wrong_with_neither_arm_is_told_as_it_is(tree: Path, scratch: Path) -> None:
    with pytest.raises(UsageError, match=r"^The disk is round\.$"), of_tree(tree, scratch, ".", "."):
        raise UsageError("The disk is round.")


@pytest.mark.parametrize("line", ["-r more.txt", "x @ https://127.0.0.1/x.zip", "what is this"])
def test_requirements_that_cannot_be_locked_are_told_by_their_line(tree: Path, scratch: Path, line: str) -> None:
    (tree / "new.txt").write_text(f"{line}\n", encoding="utf-8")
    with (
        pytest.raises(UsageError, match=f"'{line}' cannot be locked"),
        of_tree(tree, scratch, ".", f"requirements:{tree}/new.txt"),
    ):
        pass


def test_a_folder_that_a_revision_has_not_is_named(root: Path, shop: Path, scratch: Path) -> None:
    new = shop.parent / "new"
    new.mkdir()
    (new / "app.toml").write_text(SHOP, encoding="utf-8")
    with (
        pytest.raises(UsageError, match=r"there is no new/app\.toml in commit [0-9a-f]{12}\."),
        of_shop(root, scratch, new, "HEAD", "."),
    ):
        pass


def test_what_a_revision_declares_wrongly_is_told_of_that_arm(tree: Path, scratch: Path) -> None:
    rewrite(tree / "apps" / "hello" / "app.toml", "target", "targte")
    commit(tree, "wrong")
    rewrite(tree / "apps" / "hello" / "app.toml", "targte", "target")
    with (
        pytest.raises(UsageError, match=r"^--base HEAD: apps/hello/app.toml: the key 'target' is missing"),
        of_tree(tree, scratch, "HEAD", "."),
    ):
        pass


def test_a_link_out_of_the_folder_is_not_followed(root: Path, shop: Path, scratch: Path) -> None:
    (shop / "settings.py").symlink_to("../secret.txt")
    commit(shop, "linked")
    with (
        pytest.raises(UsageError, match=r"'settings\.py' in commit [0-9a-f]{12} leads out of its folder"),
        of_shop(root, scratch, shop, "HEAD", "."),
    ):
        pass


def test_a_shallow_clone_is_told_what_it_lacks(tree: Path, tmp_path: Path, scratch: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth", "1", tree.parent.as_uri(), "shallow")
    with (
        pytest.raises(UsageError, match="shallow: `git fetch --unshallow` brings the rest"),
        of_tree(tmp_path / "shallow" / "project", scratch, "HEAD~1", "."),
    ):
        pass


def test_without_a_repository_the_files_as_they_are_can_be_had_and_revisions_cannot(
    tmp_path: Path, scratch: Path
) -> None:
    root = trees.small(tmp_path / "plain")
    with of_tree(root, scratch, ".", "pool_size=2") as (_, base, _):
        assert base.words == "the working tree"
    with pytest.raises(UsageError, match="not a git repository"), of_tree(root, scratch, ".", "HEAD"):
        pass


def test_without_git_the_owner_of_the_machine_is_told(
    tree: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(scratch))
    with of_tree(tree, scratch, ".", "pool_size=2") as (_, base, _):
        assert base.words == "the working tree"
    with pytest.raises(MachineError, match="apt-get install -y git"), of_tree(tree, scratch, ".", "HEAD"):
        pass


def test_a_hooks_own_repository_is_not_taken_for_that_of_the_app(
    tree: Path, shop: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(shop.parent / ".git"))
    with of_tree(tree, scratch, "HEAD", ".") as (_, base, _):
        monkeypatch.delenv("GIT_DIR")
        assert base.words == f"commit {git(tree, 'rev-parse', 'HEAD')[:12]} (HEAD)"


def planned(made: Tree) -> Plan:
    return Plan.alone(
        name="flagship",
        title="Arms",
        stacks=tuple(made.stacks.arms),
        measures=(Measure(scenario="one", load=Load(kind="closed", size=4)),),
        blocks=2,
        seed=1,
        window_s=0.5,
        warmup_slice_s=0.1,
        warmup_limit_s=0.3,
    )


def test_a_session_takes_arms_as_it_takes_stacks_and_digests_each_by_itself(tree: Path, scratch: Path) -> None:
    with (
        of_tree(tree, scratch, "HEAD~1", ".") as (made, *_),
        session.opened(made, planned(made), fake.parties(), told=lambda _: None) as (header, conductor),
    ):
        plan.check(header.plan, made.stacks, made.scenarios)
        runs = list(conductor.runs(plan.trials(header.plan), lambda _: None))
    assert (
        {run.stack for run in runs} == set(header.stacks) == {f"{arm}:{STACK}" for arm in ("base", "head", "again")}
    )
    assert {run.status for run in runs} == {"ok"}
    app, server = (
        {arm: header.declared[f"{kind} {arm}:{name}"] for arm in ("base", "head", "again")}
        for kind, name in (("app", "hello"), ("server", "stdlib"))
    )
    for digests in (app, server):
        assert digests["base"] == digests["again"] != digests["head"]


def test_no_other_session_of_a_tree_knows_of_arms(tree: Path, scratch: Path) -> None:
    with of_tree(tree, scratch, ".", "."):
        assert [*Tree.load(tree).stacks] == [STACK]
        assert f"base:{STACK}" not in Tree.load(tree).stacks


@contextlib.contextmanager
def answers(backend: Backend, made: Tree) -> Iterator[Callable[[str], str]]:
    """Start every arm beside the others, and ask one of them."""
    placement = machine.place(machine.usable_cpus())
    with contextlib.ExitStack() as up:
        ports = {}
        for stack in made.stacks.arms.values():
            backend.prepare(stack)
        up.enter_context(backend.services((), placement))
        for stack in made.stacks.arms.values():
            ports[stack.arm] = up.enter_context(backend.serve(stack, placement, NOTHING)).port

        def ask(arm: str) -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{ports[arm]}/plaintext", timeout=5) as answer:
                return str(answer.read().decode())

        yield ask


@pytest.mark.server
def test_both_arms_run_side_by_side_each_with_its_own_files(tree: Path, scratch: Path) -> None:
    with (
        of_tree(tree, scratch, "HEAD~1", ".") as (made, *_),
        answers(ProcessBackend(root=tree, scratch=scratch), made) as ask,
    ):
        assert [ask(arm) for arm in ("base", "head", "again")] == [ANSWER, "Hello again", ANSWER]


@pytest.mark.container
@pytest.mark.server
@pytest.mark.slow
def test_both_arms_run_side_by_side_in_containers(root: Path, tree: Path, scratch: Path, engine: Engine) -> None:
    (tree / "compose" / "Dockerfile").write_bytes((root / "compose" / "Dockerfile").read_bytes())
    (tree / "requirements").mkdir()
    (tree / "requirements" / "uv.txt").write_bytes((root / "requirements" / "uv.txt").read_bytes())
    version = ".".join(map(str, sys.version_info[:2]))
    images = Images(engine=engine, root=tree, scratch=scratch, python=version, wanted=Containment())
    backend = ContainerBackend(images=images, wanted=Containment())
    with of_tree(tree, scratch, "HEAD~1", ".") as (made, *_), answers(backend, made) as ask:
        assert [ask(arm) for arm in ("base", "head", "again")] == [ANSWER, "Hello again", ANSWER]


def test_a_revision_has_its_own_lock_and_todays_environments(tree: Path, scratch: Path) -> None:
    lock = tree / "requirements" / "stacks.txt"
    lock.parent.mkdir()
    lock.write_text("small==1.0 \\\n    --hash=sha256:00\n", encoding="utf-8")
    commit(tree, "locked")
    lock.write_text("small==2.0 \\\n    --hash=sha256:00\n", encoding="utf-8")
    with of_tree(tree, scratch, "HEAD", ".") as (_, base, _):
        place = base.stack.server.folder.parent
        assert "small==1.0" in (place / "requirements" / "stacks.txt").read_text(encoding="utf-8")
        assert (place / ".envs").resolve() == tree / ".envs"
    assert (tree / ".envs").is_dir(), "what an arm borrows is not removed with it"


@pytest.mark.slow
def test_an_environment_has_the_versions_of_its_own_revisions_lock(root: Path, tree: Path, scratch: Path) -> None:
    (app,) = tree.glob("apps/hello/requirements.txt")
    app.write_text("itsdangerous\n", encoding="utf-8")
    pinned = re.search(
        r"^itsdangerous==(\S+) .*\n(    --hash.*\n)+", envs.lock_of(root).read_text(encoding="utf-8"), re.MULTILINE
    )
    assert pinned is not None
    envs.lock_of(tree).parent.mkdir()
    envs.lock_of(tree).write_text(pinned[0].rstrip(" \\\n") + "\n", encoding="utf-8")
    commit(tree, "locked")
    envs.lock_of(tree).write_text("itsdangerous==0.0.99 \\\n    --hash=sha256:00\n", encoding="utf-8")
    with of_tree(tree, scratch, "HEAD", ".") as (_, base, _):
        found = ProcessBackend(root=tree, scratch=scratch).prepare(base.stack)["versions"]
    assert found["itsdangerous"] == pinned[1]
    assert not (tree / ".envs" / "locks").exists(), "nothing was resolved anew"


def test_an_arm_with_a_python_of_its_own_is_prepared_on_that_one(tree: Path, scratch: Path) -> None:
    backend = ProcessBackend(root=tree, scratch=scratch)
    with of_tree(tree, scratch, ".", "python=3.99") as (_, base, head):
        assert backend.prepare(base.stack)["versions"]["python"] == sys.version.split()[0]
        with pytest.raises(MachineError, match=r"3\.99"):
            backend.prepare(head.stack)


def test_arms_have_image_names_of_their_own_that_the_engine_takes(root: Path, scratch: Path) -> None:
    stack = "flask+gunicorn-gthread[threads=2]@tuned"
    with arms(root, base=".", head=".", own=None, stack=stack, scratch=scratch) as (made, *_):
        tags = {tag(name) for name in (*made.stacks.arms, stack)}
    assert len(tags) == 4
    assert all(re.fullmatch(r"gatebench:[a-z0-9_][a-z0-9_.-]{0,127}", one) for one in tags)
