"""What a test registers is forgotten; what a module's import registers stays."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from remotejob import SettingsError, compose, hooks, task
from remotejob.tasks import registry
from remotejob.testing import JobSystem
from remotejob.testing.isolation import forgotten_afterwards


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which modules can be imported, once and then not again."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def settings_in(folder: Path, text: str, *, name: str, tasks: str) -> Path:
    (folder / f"{name}.py").write_text(text)
    file = folder / "remotejob.toml"
    file.write_text(f'[queues.default]\ntasks = [{tasks}]\ntasks_module = "{name}"\n')
    return file


def test_a_test_s_own_tasks_and_hooks_are_forgotten() -> None:
    before = hooks.registry.registered()
    with forgotten_afterwards():
        task("mine")(lambda job: None)
        hooks.on("failed")(print_it)
        assert "mine" in registry
    assert "mine" not in registry
    assert hooks.registry.registered() == before


def print_it(event: hooks.JobEvent) -> None:
    print(event)


def test_those_of_an_imported_module_stay(modules: Path) -> None:
    file = settings_in(
        modules,
        "from remotejob import compose, hooks, task\n"
        "task('kept')(lambda job: 1)\n"
        "task('composed')(compose(['kept']))\n"
        "hooks.on('failed')(lambda event: None)\n",
        name="kept_tasks",
        tasks='"kept", "composed"',
    )
    known = len(hooks.registry.registered())
    # a composition is a function of the library's own module, which this test does not import
    assert compose.__module__ in sys.modules
    with forgotten_afterwards(), JobSystem(file) as system:
        job = system.client.queue().submit("kept")
        assert job.wait().result == 1
    assert {"kept", "composed"} <= registry.keys()
    assert len(hooks.registry.registered()) == known + 1

    # and it is not imported again
    (modules / "kept_tasks.py").write_text("raise ValueError")
    with forgotten_afterwards(), JobSystem(file) as system:
        assert system.client.queue().submit("kept").wait().result == 1
    del sys.modules["kept_tasks"]
    registry.forget("kept")
    registry.forget("composed")
    event, function = hooks.registry.registered()[-1]
    hooks.registry.off(event, function)


def test_those_that_a_test_imports_itself_stay(modules: Path) -> None:
    (modules / "own_tasks.py").write_text(
        "from remotejob import task\n\n@task('own')\ndef own(job): return 2\n"
    )
    with forgotten_afterwards():
        import own_tasks  # type: ignore[import-not-found]  # noqa: F401
    assert "own" in registry
    registry.forget("own")
    del sys.modules["own_tasks"]


def test_a_failed_import_leaves_nothing_and_says_where(modules: Path) -> None:
    text = "from remotejob import task\ntask('half')(lambda job: 1)\n1 / 0\n"
    file = settings_in(modules, text, name="broken_tasks", tasks='"half"')
    for _ in range(2):
        with pytest.raises(SettingsError, match=r"its import .*broken_tasks\.py:\d+: ZeroDivision"):
            JobSystem(file)
        assert "half" not in registry


def test_a_module_that_lacks_a_package_is_no_missing_module(modules: Path) -> None:
    file = settings_in(modules, "import not_there", name="poor_tasks", tasks='"x"')
    with pytest.raises(SettingsError, match="No module named 'not_there'"):
        JobSystem(file)
