"""``python -m benchmarks.peers``: ahstore, references and installed peers; results/peers.md, .json."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.command import measure, parser
from benchmarks.peers.backup import borg, casync, find_borg, find_casync, find_restic, restic
from benchmarks.peers.git import find_git, find_git_lfs, git, git_lfs
from benchmarks.peers.working_copy import dvc, find_dvc, find_oxen, oxen
from benchmarks.runner import say
from benchmarks.tool import MakeTool

PEERS: dict[str, tuple[MakeTool, Callable[[], bool]]] = {
    "git": (git, find_git),
    "git-lfs": (git_lfs, find_git_lfs),
    "borg": (borg, find_borg),
    "restic": (restic, find_restic),
    "casync": (casync, find_casync),
    "dvc": (dvc, find_dvc),
    "oxen": (oxen, find_oxen),
}


def main() -> None:
    """Measure."""
    options = parser(__doc__ or "")
    options.add_argument("--peers", help=f"only these, by commas: {', '.join(PEERS)}")
    options.add_argument("--peer-rounds", type=int, default=1, help="rounds with the peers (1)")
    args = options.parse_args()
    wanted = args.peers.split(",") if args.peers else list(PEERS)
    found = [PEERS[name][0] for name in wanted if PEERS[name][1]()]
    say(f"peers: {', '.join(make.__name__ for make in found) or 'none is installed'}")
    measure(args, name="peers", peers=found, peer_rounds=args.peer_rounds)


if __name__ == "__main__":
    main()
