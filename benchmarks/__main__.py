"""``python -m benchmarks [NAME ...]``: run the benchmarks one after another, all by default.

Each prints a table with ratios against its peers of the same run and writes JSON under
``benchmarks/results/``.
"""

import subprocess
import sys
from pathlib import Path

HELPERS = frozenset({"__init__", "__main__", "peers", "report", "ttl_polling"})


def main() -> int:
    known = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem not in HELPERS)
    wanted = sys.argv[1:] or known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        sys.stderr.write(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}\n")
        return 2
    results = [
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
        for name in wanted
    ]
    return max(results)


if __name__ == "__main__":
    sys.exit(main())
