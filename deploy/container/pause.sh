# Owns the PID and network namespaces of managerd and the proxies, and does nothing else; reaps what loses its parent.
# It must outlive them: when the first process of a PID namespace ends, the kernel ends all others.
trap 'exit 0' TERM INT
while :; do
  sleep 86400 &
  wait $!
done
