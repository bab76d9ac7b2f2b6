#!/bin/sh
# Runs the suite of the provider plugins, and the end-to-end suite, with the official plugins. Needs access to get.pulumi.com.
# The tests' pauses are then the real ones: the first part takes about a quarter of an hour.
# usage: official-plugins.sh [--providers-only]
set -eu
cd "$(dirname "$0")/../.."

folder=${OFFICIAL_PLUGINS:-$(mktemp -d)}
mkdir -p "$folder"
arch=$(node -p 'process.arch === "x64" ? "amd64" : process.arch')
platform=$(node -p process.platform)
for name in cloudflare mongodbatlas command; do
  [ -x "$folder/pulumi-resource-$name" ] && continue
  version=$(node -p "require('@pulumi/$name/package.json').pulumi.version")
  archive="pulumi-resource-$name-v$version-$platform-$arch.tar.gz"
  echo "downloading $name $version"
  curl -fsSL --retry 3 "https://get.pulumi.com/releases/plugins/$archive" | tar -xzf - -C "$folder" "pulumi-resource-$name"
done

export PATH="$folder:$PATH" SANDBOX_PROVIDERS=installed
npx vitest run --project integration test/sandbox/providers/official --maxWorkers=1
[ "${1:-}" = --providers-only ] || npx vitest run --project e2e
