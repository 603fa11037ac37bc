"""The calls over one default store, as a program makes them."""

import subprocess
import sys
from pathlib import Path

from ahstore.client.config import read_login

PROJECT = Path(__file__).parents[2]


def python(code: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import ahstore as ah\n{code}"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_the_tutorial_in_python(home: Path) -> None:
    out, err = python(
        f"ah.login(host='{home}/store', api_key='secret')\n"
        "model_folder = ah.create_folder(type_='model', name='image-classification')\n"
        "model = model_folder.create_asset(name='mnist-cnn-keras')\n"
        "print(ah.get_folder(type_='model', name='image-classification').get_asset("
        "name='mnist-cnn-keras') == model)\n"
        "ah.logout()\n"
    )
    user = err.splitlines()[0].rpartition(" ")[2]
    assert err == (
        f"AH INFO: Logged in to Asset Hub server file://{home}/store as user {user}\n"
        "AH INFO: Creating Model Folder image-classification\n"
        "AH INFO: Creating Model mnist-cnn-keras in Folder image-classification\n"
        f"AH INFO: Logged out from Asset Hub server file://{home}/store\n"
    )
    assert out == "True\n"


def test_a_login_holds_for_later_processes_and_keeps_no_secret(home: Path) -> None:
    python(f"ah.login(host='{home}/store', api_key='canary-secret'); ah.create('model/f')")
    assert read_login() is not None
    out, err = python("print([folder['name'] for folder in ah.list('model')])")
    assert (out, err) == ("['f']\n", "")
    for path in home.rglob("*"):
        assert not path.is_file() or b"canary-secret" not in path.read_bytes()


def test_without_a_login_it_is_silent_and_uses_the_default_store(home: Path) -> None:
    out, err = python("ah.create('model/f'); print(ah.list_folder()[0]['path'].split('/')[1:])")
    assert (out, err) == ("['model', 'f']\n", "")
    assert (home / ".local/share/ahstore/store/store.json").exists()


def test_a_store_of_ones_own_touches_no_global_state(home: Path) -> None:
    out, err = python(
        f"with ah.open('{home}/own', user='ann', cache_dir='{home}/c', runs_dir='{home}/r') as store:\n"
        "    store.create('model/f')\n"
        "    print(store.user, store.list_folder()[0]['owner'])\n"
    )
    assert (out, err) == ("ann ann\n", "")
    assert not (home / ".local/share/ahstore").exists()
    assert not (home / ".cache").exists()


def test_a_forked_child_opens_its_own(home: Path) -> None:
    # A cache environment inherited across a fork reads silently wrong: the child must not use it.
    out, _ = python(
        "import os\n"
        "ah.create('model/f'); ah.create('model/f/a')\n"
        "open('x', 'w').write('x')\n"
        "ah.commit('model/f/a', 'parent', add=['x'])\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    ah.commit('model/f/a', 'child', add={'x': 'y'})\n"
        "    os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "print([commit['message'] for commit in ah.list('model/f/a', resource='commit')])\n"
    )
    assert out == "['child', 'parent', 'Repository created']\n"
