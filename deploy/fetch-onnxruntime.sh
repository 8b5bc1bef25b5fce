#!/bin/sh
# Puts ONNX Runtime's shared library, from its PyPI wheel, into FOLDER (default target/onnxruntime).
# The wheel is pinned by version and SHA-256; its licence (MIT) and notices are kept beside the library.
set -eu

version=1.32.0
python=${PYTHON:-python3}
folder=${1:-$(dirname "$0")/../target/onnxruntime}

case "$(uname -s)-$(uname -m)" in
Linux-x86_64) platform=manylinux_2_28_x86_64 sha256=99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8 ;;
Linux-aarch64) platform=manylinux_2_28_aarch64 sha256=e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054 ;;
*)
    echo "fetch-onnxruntime: no pinned wheel for $(uname -s) on $(uname -m); set ORT_DYLIB_PATH to an ONNX Runtime $version of your own" >&2
    exit 1
    ;;
esac

if [ "$(cat "$folder/VERSION" 2>/dev/null)" = "$version $sha256" ] && [ -f "$folder/libonnxruntime.so" ]; then
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
# The library is plain C++, so the wheel of any Python version serves.
if ! "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --implementation cp \
    --python-version 3.12 --platform "$platform" --dest "$work" "onnxruntime==$version"; then
    echo "fetch-onnxruntime: pip could not download onnxruntime $version; check that $python has pip and that it reaches its package index, or set ORT_DYLIB_PATH" >&2
    exit 1
fi
wheel=$(echo "$work"/onnxruntime-*.whl)
found=$("$python" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$wheel")
if [ "$found" != "$sha256" ]; then
    echo "fetch-onnxruntime: the wheel of onnxruntime $version has SHA-256 $found, expected $sha256; do not use it" >&2
    exit 1
fi
mkdir -p "$folder"
"$python" - "$wheel" "$folder" "$version" <<'EOF'
import os
import sys
import zipfile

wheel, folder, version = sys.argv[1:]
wanted = {
    f"onnxruntime/capi/libonnxruntime.so.{version}": "libonnxruntime.so",
    "onnxruntime/LICENSE": "LICENSE",
    "onnxruntime/ThirdPartyNotices.txt": "ThirdPartyNotices.txt",
}
with zipfile.ZipFile(wheel) as archive:
    for member, name in wanted.items():
        path = os.path.join(folder, name)
        # A rename is atomic: a program that starts meanwhile sees the old library or the new one.
        with open(path + ".new", "wb") as target:
            target.write(archive.read(member))
        os.replace(path + ".new", path)
EOF
echo "$version $sha256" >"$folder/VERSION"
