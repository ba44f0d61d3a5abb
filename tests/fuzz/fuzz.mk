# Fuzz targets: fuzz_X.c, its inputs in corpus_X. An input that once crashed stays there, under a name
# that says what it was.
#
# make fuzz-X [FUZZ_SECONDS=300]: a corpus grows in $(BUILD)/fuzz, from the one committed.
# The kernel loads unaligned words, so alignment is not looked at.
# make fuzz-replay: each committed input once, without libFuzzer; part of `make check`.
FUZZ_SECONDS ?= 60
FUZZ         := dns_msg dns_rewrite dns_match

FUZZ_SRC_dns_msg     := user/addr.c user/dns_msg.c
FUZZ_SRC_dns_rewrite := user/addr.c user/dns_msg.c user/dns_question.c user/dns_chain.c user/dns_kind.c \
                        user/dns_svcb.c user/dns_rewrite.c user/dns_rewrite_write.c
FUZZ_SRC_dns_match   := tests/fuzz/twin.c user/addr.c user/dns_msg.c user/dns_question.c user/dns_name.c \
                        user/domains.c user/policy.c $(wildcard user/netmap*.c) user/log.c
FUZZ_FLAGS := -std=gnu11 -D_GNU_SOURCE -Iinclude -Iuser -Ibpf -Itests/fuzz -g -O1 \
              -fsanitize=address,undefined -fno-sanitize-recover=all -fno-sanitize=alignment
FUZZ_DEPS  := $(wildcard tests/fuzz/*.h user/*.h bpf/*.h include/*.h)
FUZZ_REPLAY := $(FUZZ:%=$(BUILD)/fuzz/replay_%)

.PHONY: fuzz-replay $(FUZZ:%=fuzz-%)
.SECONDEXPANSION:
$(FUZZ:%=$(BUILD)/fuzz/fuzz_%): $(BUILD)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $$(FUZZ_SRC_$$*) $(FUZZ_DEPS)
	@mkdir -p $(@D)/corpus_$*
	@echo "  FUZZ  $@"
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer $(filter %.c,$^) -o $@ -lcjson -lcurl -luv

$(FUZZ_REPLAY): $(BUILD)/fuzz/replay_%: tests/fuzz/replay.c tests/fuzz/fuzz_%.c $$(FUZZ_SRC_$$*) $(FUZZ_DEPS)
	@mkdir -p $(@D)
	@echo "  TEST  $@"
	$(Q)$(CC) $(FUZZ_FLAGS) -Wno-unknown-pragmas $(filter %.c,$^) -o $@ -lcjson -lcurl -luv

$(FUZZ:%=fuzz-%): fuzz-%: $(BUILD)/fuzz/fuzz_% ## fuzz dns_msg, dns_rewrite or dns_match for FUZZ_SECONDS
	$(Q)$< -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -print_final_stats=1 \
	  $(BUILD)/fuzz/corpus_$* tests/fuzz/corpus_$*

fuzz-replay: $(FUZZ_REPLAY)
	$(Q)tests/run.sh tests/fuzz/replay.sh

check-binaries: $(FUZZ_REPLAY)
