# What is lost when daemons die, and how soon they are back.

.PHONY: chaos crash soak bench-recovery

# The load of the chaos test and the soak.
LOAD_BIN := $(addprefix $(BUILD)/chaos/,echo udp tcp names)
$(LOAD_BIN): $(BUILD)/chaos/%: tests/chaos/%.c tests/chaos/load.h
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) $(CFLAGS) $< -o $@

# Tools that read and write pins as the program does.
$(BUILD)/bench/leases: tests/bench/leases.c $(BUILD)/libconn25.a
$(BUILD)/crash/consistent: tests/crash/consistent.c $(BUILD)/libconn25.a
$(BUILD)/bench/leases $(BUILD)/crash/consistent:
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -pie $^ -o $@ $(LDLIBS_ALL)

# The program, linked with what kills it between two writes.
CRASH_WRITES := bpf_map_update_elem bpf_map_delete_elem bpf_prog_test_run_opts bpf_obj_pin \
                bpf_link_update unlink
$(BUILD)/crash/conn25: tests/crash/points.c $(BUILD)/user/main.o $(BUILD)/libconn25.a
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(CPPFLAGS_ALL) $(filter-out -Wmissing-prototypes,$(CFLAGS_ALL)) -pie \
	  $(CRASH_WRITES:%=-Wl,--wrap=%) $^ -o $@ $(LDLIBS_ALL)

CRASH_BIN := $(BUILD)/crash/conn25 $(BUILD)/crash/consistent

# The commit before this one, for upgrades.
.PHONY: previous
previous:
	$(Q)CC='$(CC)' tests/previous.sh $(BUILD)/previous

netns check-binaries: previous $(LOAD_BIN) $(CRASH_BIN)

chaos: all $(LOAD_BIN) $(CRASH_BIN) ## traffic under crashes, upgrades, reloads, a cut link: DURATION=600 s; root
	$(Q)CONN25=$(BUILD)/conn25 DURATION=$(or $(DURATION),600) bash tests/chaos/chaos.sh

crash: all $(CRASH_BIN) ## daemons that die before and after every single write, those of a start too; root
	$(Q)CONN25=$(BUILD)/conn25 CRASH_ALL=1 TEST_SECONDS=3600 tests/run.sh tests/netns/test_crash.sh

soak: all $(LOAD_BIN) ## traffic and churn, memory and descriptors flat: DURATION=1800 s; root
	$(Q)CONN25=$(BUILD)/conn25 DURATION=$(or $(DURATION),1800) bash tests/chaos/soak.sh

bench-recovery: all $(BUILD)/bench/leases ## daemons with 100,000 and 1,000,000 leases killed and started again; root
	$(Q)CONN25=$(BUILD)/conn25 bash tests/bench/bench_recovery.sh
