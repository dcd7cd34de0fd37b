#!/bin/sh
# wait-until.sh PIDFILE SECONDS COMMAND…: wait until COMMAND succeeds. Ends with 1 as soon as the process of PIDFILE is
# gone, and with 2 when the time is over: a service that dies at its start need not be waited for.
pidfile=$1
tries=$(($2 * 4))
shift 2
until "$@" >/dev/null 2>&1; do
  start-stop-daemon --status --pidfile="$pidfile"
  # 1: it is dead. Before the process has written the file the answer is 3.
  [ $? -ne 1 ] || exit 1
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || exit 2
  sleep 0.25
done
