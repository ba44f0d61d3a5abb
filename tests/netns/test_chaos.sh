#!/usr/bin/env bash
# A minute of `make chaos`.
export DURATION=${DURATION:-60}
exec bash "$(dirname "$0")/../chaos/chaos.sh"
