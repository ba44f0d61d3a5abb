#!/usr/bin/env bash
# A minute of `make chaos`, the same one each time: chance has its place in the ten minutes.
export DURATION=${DURATION:-60} SEED=${SEED:-739447229}
exec bash "$(dirname "$0")/../chaos/chaos.sh"
