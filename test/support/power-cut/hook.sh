# Sourced by the changed installer after each of its writes, and by upstream's script after each of its steps, while a test has armed the
# host. It counts them; at the write whose number is in /run/power-cut/at it waits for the plug to be pulled. All of it is in /run,
# so a host that was off is no longer armed. Heartbeats are left out: how many there are depends on the machine's speed.
if [ "${VERB:-}" != heartbeat ]; then
  cut_count=$(($(cat /run/power-cut/count 2>/dev/null || echo 0) + 1))
  echo "$cut_count" >/run/power-cut/count
  echo "$cut_point" >>/run/power-cut/points
  if [ "$cut_count" = "$(cat /run/power-cut/at)" ]; then
    : >/run/power-cut/reached
    while :; do sleep 3600; done
  fi
fi
