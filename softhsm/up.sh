#!/usr/bin/env bash
# Installs what the demo and the tests need from Debian, and makes throw-away PKCS#11 modules:
# a SoftHSM2 directory, an NSS database, a `p11-kit server` in front of SoftHSM2 (a "network HSM").
# Nothing here survives the directory it is given; PINs are made per run and never printed.
set -euo pipefail

PACKAGES=(
  softhsm2 opensc libnss3 libnss3-tools p11-kit p11-kit-modules
  openssl openssh-client golang-go golang-golang-x-mod-dev age poppler-utils
  valgrind binutils postgresql python3-numpy
)
SOFTHSM_MODULE=/usr/lib/softhsm/libsofthsm2.so

usage() {
  cat <<'HELP'
usage: up.sh --install-only
       up.sh [DIR]
       up.sh --nss DIR
       up.sh --remote DIR start|kill|stop

  --install-only   install missing Debian packages (root), or print the one command that does
  DIR              also make a SoftHSM2 directory; print the export its users need.
                   Default: a new directory on tmpfs (/dev/shm), else /tmp
  --nss DIR        make an NSS softoken database; its PIN goes to DIR/pin (mode 0600)
  --remote DIR     run `p11-kit server` in front of the SoftHSM2 directory DIR
                   start: start it and print the export its clients need
                   kill:  kill -9 the server and its per-client children (a network fault)
                   stop:  stop it and remove its socket

examples:
  bash softhsm/up.sh --install-only
  eval "$(bash softhsm/up.sh)"
  eval "$(bash softhsm/up.sh /dev/shm/my-tokens)"
  bash softhsm/up.sh --nss /dev/shm/my-nss
  eval "$(bash softhsm/up.sh --remote /dev/shm/my-tokens start)"
HELP
}

refuse() {
  printf 'error: %s\n' "$1" >&2
  [[ $# -lt 2 ]] || printf 'hint: %s\n' "$2" >&2
  exit "${3:-2}"
}

missing_packages() {
  local installed
  # Exit code 1 only says that some package is unknown to dpkg; the listing still holds the rest.
  # shellcheck disable=SC2016  # the format string belongs to dpkg-query
  installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "${PACKAGES[@]}" 2>/dev/null || true)
  local package
  for package in "${PACKAGES[@]}"; do
    grep -qx "$package installed" <<<"$installed" || printf '%s\n' "$package"
  done
}

install() {
  command -v dpkg-query >/dev/null ||
    refuse 'this is not a Debian system' "install by hand: ${PACKAGES[*]}" 3
  local missing
  mapfile -t missing < <(missing_packages)
  [[ ${#missing[@]} -gt 0 ]] || return 0
  if [[ $EUID -ne 0 ]]; then
    refuse "missing packages: ${missing[*]}" "run: sudo apt-get install -y ${missing[*]}" 3
  fi
  printf 'installing: %s\n' "${missing[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
  mapfile -t missing < <(missing_packages)
  [[ ${#missing[@]} -eq 0 ]] || refuse "still missing after apt-get: ${missing[*]}" '' 3
}

# SoftHSM flushes on every truncate: 100 ms per key on ext4, under 1 ms on tmpfs.
scratch() {
  local base=/tmp
  [[ -d /dev/shm && -w /dev/shm ]] && base=/dev/shm
  mktemp -d "$base/keyrite-softhsm.XXXXXXXX"
}

new_directory() {
  [[ $1 != *$'\n'* && $1 != *"'"* ]] || refuse 'directory name with a quote or a line break' 'choose another'
  mkdir -p -- "$1"
  chmod 0700 -- "$1"
  (cd -- "$1" && pwd -P)
}

make_softhsm() {
  local dir
  dir=$(new_directory "${1:-$(scratch)}")
  [[ ! -e $dir/softhsm2.conf ]] || refuse "$dir/softhsm2.conf exists" 'give a new directory'
  mkdir -m 0700 -- "$dir/tokens"
  cat >"$dir/softhsm2.conf" <<CONF
directories.tokendir = $dir/tokens
objectstore.backend = file
log.level = ERROR
slots.removable = false
CONF
  printf "export SOFTHSM2_CONF='%s'\n" "$dir/softhsm2.conf"
}

make_nss() {
  local dir
  dir=$(new_directory "$1")
  [[ ! -e $dir/db ]] || refuse "$dir/db exists" 'give a new directory'
  mkdir -m 0700 -- "$dir/db"
  (umask 077 && openssl rand -hex 16 >"$dir/pin")
  certutil -N -d "sql:$dir/db" -f "$dir/pin" >/dev/null
  # softoken takes its configuration as a string in CK_C_INITIALIZE_ARGS.pReserved.
  printf "configdir='sql:%s' certPrefix='' keyPrefix='' secmod='secmod.db' flags=\n" \
    "$dir/db" >"$dir/parameters"
  printf 'module: libsoftokn3.so\n'
  printf 'library parameters: %s\n' "$dir/parameters"
  printf 'user PIN: %s\n' "$dir/pin"
}

# `p11-kit server` forks one p11-kit-remote child per client. Killing the server alone leaves those
# children, and so their clients, working: only the death of the whole process group is a real fault.
group_alive() {
  local file stat state group
  for file in /proc/[0-9]*/stat; do
    stat=$(cat "$file" 2>/dev/null) || continue
    # proc(5): "pid (comm) state ppid pgrp ..."; a zombie nobody reaps serves no client.
    read -r state _ group _ <<<"${stat##*) }"
    [[ $group != "$1" || $state == Z ]] || return 0
  done
  return 1
}

group_ends() {
  local tries
  for tries in {1..200}; do
    group_alive "$1" || return 0
    [[ $tries -lt 200 ]] && sleep 0.01
  done
  return 1
}

remote_signal() {
  local dir=$1 signal=$2 group
  [[ -f $dir/p11-kit.pid ]] || return 0
  group=$(<"$dir/p11-kit.pid")
  [[ $group =~ ^[0-9]+$ && $group -gt 1 ]] || refuse "$dir/p11-kit.pid holds no process id"
  kill "-$signal" -- "-$group" 2>/dev/null || true
  group_ends "$group" || refuse "process group $group did not end"
  rm -f -- "$dir/p11-kit.sock" "$dir/p11-kit.pid"
}

remote() {
  local dir=$1 action=$2
  dir=$(cd -- "$dir" 2>/dev/null && pwd -P) || refuse "no such directory: $1" 'make it with: up.sh DIR'
  case $action in
    start)
      [[ -f $dir/softhsm2.conf ]] || refuse "$dir/softhsm2.conf is missing" "make it with: up.sh $dir"
      [[ ! -e $dir/p11-kit.pid ]] || refuse 'already started' "stop it with: up.sh --remote $dir stop"
      rm -f -- "$dir/p11-kit.sock"
      # setsid: the server leads a process group of its own. It keeps the descriptors it inherits.
      SOFTHSM2_CONF=$dir/softhsm2.conf setsid p11-kit server --foreground \
        --provider "$SOFTHSM_MODULE" --name "$dir/p11-kit.sock" 'pkcs11:' \
        </dev/null >/dev/null 2>"$dir/p11-kit.log" &
      printf '%s\n' $! >"$dir/p11-kit.pid"
      local tries
      for tries in {1..500}; do
        [[ ! -S $dir/p11-kit.sock ]] || break
        [[ $tries -lt 500 ]] || refuse 'p11-kit server did not open its socket' "see $dir/p11-kit.log"
        sleep 0.01
      done
      printf "export P11_KIT_SERVER_ADDRESS='unix:path=%s'\n" "$dir/p11-kit.sock"
      ;;
    kill) remote_signal "$dir" KILL ;;
    stop) remote_signal "$dir" TERM ;;
    *) refuse "unknown action: $action" 'one of: start kill stop' ;;
  esac
}

case ${1-} in
  -h | --help) usage ;;
  --install-only)
    [[ $# -eq 1 ]] || refuse '--install-only takes no arguments' 'see: up.sh --help'
    install
    ;;
  --nss)
    [[ $# -eq 2 ]] || refuse '--nss takes one directory' 'see: up.sh --help'
    install
    make_nss "$2"
    ;;
  --remote)
    [[ $# -eq 3 ]] || refuse '--remote takes a directory and an action' 'see: up.sh --help'
    remote "$2" "$3"
    ;;
  -*) refuse "unknown option: $1" 'see: up.sh --help' ;;
  *)
    [[ $# -le 1 ]] || refuse 'too many arguments' 'see: up.sh --help'
    install
    make_softhsm "${1-}"
    ;;
esac
