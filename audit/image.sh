#!/usr/bin/env bash
# The worker's image, built and tried: `make image`. It needs buildah, podman and root.
#
# It builds the Dockerfile, runs the image as Fargate does (read only, as 10001:10001,
# under a limit of memory), drains it by SIGTERM, and reports its size and what is in it.
#
# BASE=IMAGE builds on a stand-in, such as one made from debootstrap, where the base image cannot be
# pulled: then only FROM is another. VOLUMES="--volume A:B:ro ..." and ARGUMENTS="--env ..." reach the build.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=localhost/remotejob-worker:checked
out=build/image
memory=512m
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
podman=(podman --cgroup-manager cgroupfs)

for tool in buildah podman; do
  command -v "$tool" >/dev/null || { echo "make image needs $tool: apt install buildah podman" >&2; exit 2; }
done
mkdir -p "$out"

# a digest names one image alone: a stand-in takes its place in FROM, and nothing else changes
dockerfile=worker_container/Dockerfile
if [ -n "${BASE:-}" ]; then
  dockerfile=$out/Dockerfile
  sed "s|^FROM \S*/python\S*|FROM $BASE|" worker_container/Dockerfile >"$dockerfile"
fi
# shellcheck disable=SC2086
buildah build --quiet --file "$dockerfile" --tag "$tag" ${VOLUMES:-} ${ARGUMENTS:-} . >"$out/id"
echo "built: $(cat "$out/id")"
echo "size: $(podman image inspect --format '{{.Size}}' "$tag") bytes"

# what runs is what is listed: the environment of the image itself
as_fargate=("${podman[@]}" run --rm --read-only --user 10001:10001 --memory "$memory" --tmpfs /tmp
  --cap-drop ALL --security-opt no-new-privileges --ulimit nofile=1024:1024 --ulimit nproc=1000:1000
  --stop-timeout 120)
run=("${as_fargate[@]}" --network none)
"${run[@]}" --entrypoint python "$tag" -c '
import json, importlib.metadata as m
packages = sorted({(d.metadata["Name"], d.version) for d in m.distributions()})
print(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": [
    {"type": "library", "name": n, "version": v, "purl": f"pkg:pypi/{n.lower()}@{v}"} for n, v in packages]}))
' >"$out/image.cdx.json"
echo "packages: $(grep -o '"purl"' "$out/image.cdx.json" | wc -l), in $out/image.cdx.json"

"${run[@]}" --entrypoint python "$tag" -c '
import os, pathlib
assert (os.getuid(), os.getgid()) == (10001, 10001), "it does not run as 10001"
try:
    pathlib.Path("/app/written").write_text("")
except OSError:
    pass
else:
    raise SystemExit("its root file system can be written")
pathlib.Path("/tmp/written").write_text("")
'
echo "runs as 10001:10001, read only but for /tmp"

code=0
"${run[@]}" --entrypoint python "$tag" -c 'b"x" * 1024**3' || code=$?
if [ "$code" = 137 ]; then
  echo "is killed where it needs more than $memory"
else
  echo "a limit of $memory is not kept (exit code $code): has this machine a memory controller?" >&2
  exit 1
fi

# --env-host: what ECS would set; the network of the host, where the embedded AWS is
.venv/bin/python -m audit.drain "${as_fargate[@]}" --network host --env-host \
  --env PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin --env TMPDIR=/tmp --env HOME=/nonexistent "$tag"
