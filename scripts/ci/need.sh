#!/usr/bin/env bash
# need.sh NAME - print the path of a program that a test needs; as root, install it with apt-get when it is missing.
# Exit status 1, with the reason on standard error, when it cannot be had; what needs it is then skipped, not failed.
set -euo pipefail

find_first() {
  local name
  for name in "$@"; do command -v "$name" && return 0; done
  return 1
}

case "${1:-}" in
  chromium)
    if [[ -n "${GATHERD_TEST_CHROMIUM:-}" ]]; then
      [[ -x "$GATHERD_TEST_CHROMIUM" ]] && echo "$GATHERD_TEST_CHROMIUM" && exit 0
      echo "need.sh: GATHERD_TEST_CHROMIUM=$GATHERD_TEST_CHROMIUM is not a program" >&2
      exit 1
    fi
    names=(chromium chromium-browser google-chrome)
    package=chromium
    ;;
  nginx)
    names=(nginx)
    package=nginx-light
    ;;
  *)
    echo "usage: need.sh chromium | nginx" >&2
    exit 2
    ;;
esac

find_first "${names[@]}" && exit 0
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
  echo "need.sh: no $1 here, and only root can install it (apt-get install $package)" >&2
  exit 1
fi
echo "need.sh: installing $package" >&2
if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"; } >&2; then
  echo "need.sh: apt-get could not install $package" >&2
  exit 1
fi
find_first "${names[@]}"
