# make fuzz-dns_rewrite [FUZZ_SECONDS=300]: a corpus grows in $(BUILD)/fuzz, from the one committed.
FUZZ_SECONDS ?= 60
FUZZ_SRC      = user/addr.c user/dns_msg.c user/dns_question.c user/dns_chain.c user/dns_kind.c \
                user/dns_svcb.c user/dns_rewrite.c user/dns_rewrite_write.c

$(BUILD)/fuzz/fuzz_dns_rewrite: tests/fuzz/fuzz_dns_rewrite.c $(FUZZ_SRC) $(wildcard user/dns_*.h)
	@mkdir -p $(@D)/corpus_dns_rewrite
	@echo "  FUZZ  $@"
	$(Q)$(CLANG) -std=gnu11 -D_GNU_SOURCE -Iinclude -Iuser -g -O1 \
	  -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all $< $(FUZZ_SRC) -o $@

.PHONY: fuzz-dns_rewrite
fuzz-dns_rewrite: $(BUILD)/fuzz/fuzz_dns_rewrite ## fuzz the DNS codec for FUZZ_SECONDS
	$(Q)$< -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -print_final_stats=1 \
	  $(BUILD)/fuzz/corpus_dns_rewrite tests/fuzz/corpus_dns_rewrite
