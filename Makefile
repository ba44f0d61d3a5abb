# conn25: `make help` lists the targets. Everything that is built goes to $(BUILD).

BUILD  ?= build
CLANG  ?= clang
CC     ?= gcc
PREFIX ?= /usr/local
V      ?= 0
Q      := $(if $(filter 1,$(V)),,@)

PKGS    := libbpf libcurl libmicrohttpd libcjson libuv libmnl gnutls
CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
           -Wvla -Wno-unused-parameter
CPPFLAGS_ALL := -D_GNU_SOURCE -D_FORTIFY_SOURCE=2 -Iinclude -Iuser -I$(BUILD) \
                $(shell pkg-config --cflags $(PKGS) 2>/dev/null) $(CPPFLAGS)
CFLAGS_ALL   := -std=gnu11 $(WARN) -fstack-protector-strong -fPIE $(CFLAGS)
LDLIBS_ALL   := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lelf -lz
SANITIZE     := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

# -DBPF_NO_PRESERVE_ACCESS_INDEX: CO-RE on __sk_buff gives "dereference of modified ctx ptr".
BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -DBPF_NO_PRESERVE_ACCESS_INDEX \
              -Wall -Wextra -Werror -Wno-unused-parameter -Iinclude -Ivmlinux -Ibpf

USER_SRC  := $(filter-out user/main.c,$(wildcard user/*.c))
USER_OBJ  := $(USER_SRC:user/%.c=$(BUILD)/user/%.o)
SAN_OBJ   := $(USER_SRC:user/%.c=$(BUILD)/san/user/%.o)
UNIT_SRC  := $(wildcard tests/unit/test_*.c)
UNIT_BIN  := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/%)
BPFT_SRC  := $(wildcard tests/bpf/test_*.c)
BPFT_BIN  := $(BPFT_SRC:tests/bpf/%.c=$(BUILD)/tests/bpf_%)
SKEL      := $(BUILD)/conn25.skel.h

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: bench-packets bench-dns soak-dns all help deps demo check check-kernels unit bpf-tests netns lint format vmlinux install clean

all: $(BUILD)/conn25 ## build the program

help: ## this list
	@awk -F':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install what is needed from Debian's packages; returns at once where all is there
	$(Q)tests/deps.sh

$(BUILD)/conn25.bpf.o: bpf/conn25.bpf.c $(wildcard bpf/*.h) include/c25_abi.h vmlinux/vmlinux.h
	@mkdir -p $(@D)
	@echo "  BPF   $@"
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@.tmp
	$(Q)llvm-strip -g $@.tmp -o $@ && rm -f $@.tmp

$(SKEL): $(BUILD)/conn25.bpf.o
	@echo "  SKEL  $@"
	$(Q)bpftool gen skeleton $< name conn25_bpf > $@

$(BUILD)/user/%.o: user/%.c $(SKEL)
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

$(BUILD)/san/user/%.o: user/%.c $(SKEL)
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) $(CPPFLAGS_ALL) -U_FORTIFY_SOURCE $(CFLAGS_ALL) -O1 $(SANITIZE) -MMD -MP -c $< -o $@

$(BUILD)/libconn25.a: $(USER_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/san/libconn25.a: $(SAN_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/conn25: $(BUILD)/user/main.o $(BUILD)/libconn25.a
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS_ALL) -pie -Wl,-z,relro,-z,now $^ -o $@ $(LDLIBS_ALL)

$(BUILD)/san/conn25: $(BUILD)/san/user/main.o $(BUILD)/san/libconn25.a
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(SANITIZE) -pie $^ -o $@ $(LDLIBS_ALL)

# Unit tests and packet tests run with AddressSanitizer and UndefinedBehaviorSanitizer.
$(BUILD)/tests/%: tests/unit/%.c $(wildcard tests/unit/*.h) $(BUILD)/san/libconn25.a
	@mkdir -p $(@D)
	@echo "  TEST  $@"
	$(Q)$(CC) $(CPPFLAGS_ALL) -U_FORTIFY_SOURCE $(filter-out -Wmissing-prototypes -Wshadow,$(CFLAGS_ALL)) \
	  -O1 $(SANITIZE) $(filter %.c %.a,$^) -o $@ $(LDLIBS_ALL) -lcriterion -lldns

$(BUILD)/tests/bpf_%: tests/bpf/%.c $(wildcard tests/bpf/*.h tests/unit/*.h) $(BUILD)/san/libconn25.a
	@mkdir -p $(@D)
	@echo "  TEST  $@"
	$(Q)$(CC) $(CPPFLAGS_ALL) -U_FORTIFY_SOURCE $(filter-out -Wmissing-prototypes -Wshadow,$(CFLAGS_ALL)) \
	  -Itests/bpf -Itests/unit -O1 $(SANITIZE) $(filter %.c %.a,$^) -o $@ $(LDLIBS_ALL) -lcriterion

unit: $(UNIT_BIN) ## unit tests only; no root needed
	$(Q)tests/run.sh $(UNIT_BIN)

unit-%: $(BUILD)/tests/test_% ## one module's unit tests: make unit-netmap
	$(Q)tests/run.sh $<

bpf-tests: $(BPFT_BIN) ## packet tests through BPF_PROG_TEST_RUN; root
	$(Q)tests/run.sh $(BPFT_BIN)

NETNS_TESTS = $(wildcard tests/netns/test_*.sh)
netns: all $(BUILD)/san/conn25 $(BUILD)/bench/dns_load ## network tests in namespaces; root
	$(Q)tests/run.sh $(NETNS_TESTS)

$(BUILD)/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) -Wno-missing-prototypes $(CFLAGS) $< -o $@

$(BUILD)/bench/prog_run: tests/bench/prog_run.c $(BUILD)/libconn25.a $(SKEL)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -Wno-missing-prototypes $< $(BUILD)/libconn25.a -o $@ $(LDLIBS_ALL)

$(BUILD)/bench/crowd: tests/bench/crowd.c $(BUILD)/libconn25.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $^ -o $@ $(LDLIBS_ALL)

$(BUILD)/bench/floor.skel.h: tests/bench/floor.bpf.c tests/bench/floor.h vmlinux/vmlinux.h
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $(@D)/floor.bpf.o
	$(Q)bpftool gen skeleton $(@D)/floor.bpf.o name floor_bpf > $@

$(BUILD)/bench/floor: tests/bench/floor.c $(BUILD)/bench/floor.skel.h
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -I$(@D) $< -o $@ -lbpf

BENCH_PACKETS := $(addprefix $(BUILD)/bench/,load crowd floor prog_run)
bench-packets: all $(BENCH_PACKETS) ## CPU per packet against plain forwarding, nftables and a floor; root
	$(Q)CONN25=$(BUILD)/conn25 tests/bench/bench_packets.sh
	$(Q)$(BUILD)/bench/prog_run

bench-dns: all $(BUILD)/bench/dns_load ## CPU per DNS question against a bare forwarder, dnsdist and dnsmasq; root
	$(Q)tests/deps.sh bench
	$(Q)CONN25=$(BUILD)/conn25 tests/bench/bench_dns.sh

soak-dns: all $(BUILD)/bench/dns_load ## dnsperf over every DNS path, and a daemon killed under it; root
	$(Q)tests/deps.sh bench
	$(Q)CONN25=$(BUILD)/conn25 tests/run.sh tests/bench/soak_dns.sh

demo: deps ## three hosts in namespaces, one page fetched through a connector, explained
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/demo.sh $(BUILD)/conn25

check: deps ## every test, from nothing
	$(Q)$(MAKE) --no-print-directory -j2 all $(BUILD)/san/conn25 $(BUILD)/bench/dns_load check-binaries
	$(Q)CONN25=$(BUILD)/conn25 CONN25_SAN=$(BUILD)/san/conn25 \
	  tests/run.sh $(UNIT_BIN) tests/fuzz/replay.sh $(BPFT_BIN) $(NETNS_TESTS)

.PHONY: check-binaries
check-binaries: $(UNIT_BIN) $(BPFT_BIN)

$(BUILD)/kernels/verified: tests/kernels/verified.c $(BUILD)/libconn25.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $< -o $@ $(LDLIBS_ALL)

# KERNELS="6.1 6.12 running" by default.
check-kernels: ## packet and network tests on Linux 6.1, 6.12 and this one, booted in QEMU; root
	$(Q)tests/deps.sh kernels
	$(Q)$(MAKE) --no-print-directory -j2 all $(BUILD)/san/conn25 check-binaries $(BUILD)/kernels/verified
	$(Q)tests/kernels/check.sh $(BUILD) $(BPFT_BIN) $(NETNS_TESTS)

format: ## clang-format decides
	clang-format -i $(wildcard user/*.[ch] bpf/*.[ch] include/*.h tests/unit/*.[ch] tests/bpf/*.[ch] tests/kernels/*.c)

lint: all ## formatting, clang-tidy, shell scripts, manifests
	clang-format --dry-run -Werror $(wildcard user/*.[ch] bpf/*.[ch] include/*.h tests/unit/*.[ch] tests/bpf/*.[ch] tests/kernels/*.c)
	clang-tidy --quiet $(USER_SRC) -- -std=gnu11 $(CPPFLAGS_ALL)
	shellcheck -x $(wildcard tests/*.sh tests/*/*.sh) .ci/run
	CONN25=$(BUILD)/conn25 tests/run.sh tests/lint/manifests.sh

vmlinux: ## make vmlinux/vmlinux.h again, from the running kernel
	bpftool btf dump file /sys/kernel/btf/vmlinux format c > vmlinux/vmlinux.h

install: all ## to $(DESTDIR)$(PREFIX)
	install -D -m 0755 $(BUILD)/conn25 $(DESTDIR)$(PREFIX)/sbin/conn25
	install -D -m 0644 user/man/conn25.8 $(DESTDIR)$(PREFIX)/share/man/man8/conn25.8

clean: ## remove $(BUILD)
	rm -rf $(BUILD)

-include $(wildcard $(BUILD)/user/*.d $(BUILD)/san/user/*.d)

include tests/fuzz/fuzz.mk tests/chaos/chaos.mk
