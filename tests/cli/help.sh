#!/usr/bin/env bash
# --help and --version of each tool: stdout, nothing on stderr, exit 0.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

for tool in tfops-info tfops-tune tfops-cache tfops-bench tfops-demo; do
    golden "help-$tool" "$tool" --help
    golden "version-$tool" "$tool" --version
done
golden help-tfops-worker tfops-worker --help
golden version-tfops-worker tfops-worker --version
finish
