/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_abi: the border between the kernel programs and the controller, and nothing else.
 *
 * Every struct here is a map's key or value. Addresses are 16 bytes, IPv4 in its mapped form
 * (RFC 4291, 2.5.5.2), so that a dump's last four numbers read as the dotted quad. Times are
 * seconds of CLOCK_BOOTTIME unless their name says otherwise. Ports are in network order.
 *
 * The BPF side includes vmlinux.h first, the controller <linux/types.h> and <linux/bpf.h>.
 */
#ifndef C25_ABI_H
#define C25_ABI_H

#ifndef __VMLINUX_H__
#include <linux/bpf.h>
#include <linux/types.h>
#endif

/* Layout of the pinned maps. A change of any struct below, or of a map's key, raises it. */
#define C25_LAYOUT 2

#define C25_ID_LEN     64  /* a node's id, cut to fit, NUL included */
#define C25_NAME_LEN   256 /* a domain or an app's name, NUL included */
#define C25_MAX_PEERS  16384
#define C25_MAX_DEVS   64
#define C25_MAX_NETS   131072
#define C25_MAX_APPS   65536
#define C25_MAX_NAMES  262144
#define C25_MAX_DNS_TO 1024
#define C25_MAX_BEGUN  65536
#define C25_MAX_PORTS  4096 /* bridges and their ports on which DNS is taken */
#define C25_EVENT_RING (256 * 1024)

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

struct c25_addr {
	__u8 b[16];
};

struct c25_count {
	__u64 packets;
	__u64 bytes;
};

/* c25_meta[0]: who wrote these maps. */
struct c25_meta {
	__u32 layout;
	__u32 cookie; /* marks frames that one of our programs redirected to another of ours */
	__u64 epoch;  /* random; told to clients, who see by it that mappings were lost */
	char version[32];
};

/* c25_nets: what an address is. Longest prefix wins; IPv4 prefixes are 96 + n. */
enum c25_net_kind {
	C25_NET_MAGIC = 1,
	C25_NET_TRANSIT,
	C25_NET_SELF, /* this node's own overlay address */
	C25_NET_NODE, /* a peer's overlay address */
	C25_NET_PODS, /* behind a peer: one of its podCIDRs */
};

struct c25_net_key {
	__u32 prefixlen;
	struct c25_addr addr;
};

struct c25_net {
	__u32 kind; /* enum c25_net_kind */
	__u32 peer; /* index in c25_peers, for NODE and PODS */
};

/* c25_peers[index]: an index stays a peer's for as long as anything in the maps names it. */
#define C25_PEER_NONE      (~0U)
#define C25_PEER_USED      (1U << 0)
#define C25_PEER_CONNECTOR (1U << 1)

struct c25_peer {
	struct c25_addr overlay4; /* all zero: none */
	struct c25_addr overlay6;
	struct c25_addr underlay; /* where its tunnel ends; all zero: unknown */
	__u32 flags;
	char id[C25_ID_LEN];
	__u32 pad;
};

/* c25_devs: by interface index. */
#define C25_DEV_UPLINK (1U << 1)
#define C25_DEV_L2     (1U << 2) /* frames start with an Ethernet header */

struct c25_dev {
	struct c25_addr addr4; /* own address to send from; all zero: none */
	struct c25_addr addr6;
	__u32 flags;
	__u32 mtu; /* longest IP packet */
	__u8 mac[6];
	__u8 pad[2];
};

/* c25_overlay[0]: the overlay device; written before the programs are attached. */
struct c25_overlay {
	struct c25_addr addr4; /* own overlay addresses; all zero: none */
	struct c25_addr addr6;
	struct c25_addr underlay4; /* own tunnel end; all zero: the kernel chooses */
	struct c25_addr underlay6;
	__u32 ifindex;
	__u32 mtu;  /* longest IP packet */
	__u32 vni;  /* with c25_tunnel_key */
	__u32 via4; /* c25_peers: the next hop of the magic routes, whose frames need no redirect */
	__u32 via6; /* C25_PEER_NONE: none */
	__u8 mac[6];
	__u8 l2;        /* frames start with an Ethernet header */
	__u8 wireguard; /* its peers' allowed IPs hold transit addresses of ours */
};

/* c25_magic: client, by magic address. */
#define C25_MAGIC_DEAD (1U << 0) /* refused or in quarantine: answer with an ICMP error */
#define C25_MAGIC_KEPT (1U << 1) /* c25_kept says which flows go to another connector */

struct c25_magic {
	struct c25_addr transit;
	__u32 peer; /* the connector */
	__u32 flags;
	__u64 last_seen;
	__u64 packets;
	__u64 bytes;
};

/* c25_transit: client, by transit address; the way back. */
#define C25_TRANSIT_KEPT (1U << 31) /* in `peer2`: its mapping has C25_MAGIC_KEPT */

struct c25_transit {
	struct c25_addr magic;
	__u32 peer;  /* the connector whose packets are accepted */
	__u32 peer2; /* another one also accepted: a standby, or the one just left; else peer */
	__u64 last_seen;
	__u64 packets;
	__u64 bytes;
};

/*
 * c25_kept: client, by magic address: a mapping that has moved, and flows that stay with the
 * connector before. `base` has all that c25_begun does not know of this period.
 */
struct c25_kept {
	__u32 other; /* c25_peers */
	__u32 base;
	__u32 period;
	__u32 pad;
	__u64 out_seen; /* packets to and from `other` */
	__u64 back_seen;
};

/* c25_begun: client, by tuple as it sends it: TCP connections begun since. The least used go. */
struct c25_begun {
	__u32 peer; /* c25_peers */
	__u32 period;
};

/* c25_lease: client, cold, by magic address; only the controller reads it. */
enum c25_lease_state {
	C25_LEASE_PENDING = 1, /* lent; no connector has agreed yet */
	C25_LEASE_LIVE,
	C25_LEASE_QUARANTINE, /* ended; its addresses are lent again at `expires` */
};

struct c25_lease {
	struct c25_addr real;
	struct c25_addr transit;
	__u32 state; /* enum c25_lease_state */
	__u32 app;   /* c25_apps */
	__u32 peer;  /* c25_peers: the connector that agreed */
	__u32 pad;
	__u64 lent;
	__u64 expires;
	char domain[C25_NAME_LEN];
};

/* c25_apps: by id, so that other maps can name an app in four bytes. */
struct c25_app {
	char name[C25_NAME_LEN];
};

/* c25_mappings: connector. `client` is the peer's overlay address of the transit's family. */
struct c25_mapping_key {
	struct c25_addr client;
	struct c25_addr transit;
};

struct c25_mapping {
	struct c25_addr real;
	__u32 app;  /* c25_apps */
	__u32 peer; /* c25_peers */
	__u64 registered;
	__u64 last_seen; /* a flow of it was used, or it was registered again */
	__u64 packets;   /* of ended flows; those of living flows are in c25_flows */
	__u64 bytes;
};

/* A connection as its packets show it, in one direction. */
struct c25_tuple {
	struct c25_addr src;
	struct c25_addr dst;
	__be16 sport; /* ICMP echo: the identifier, in both directions */
	__be16 dport; /* ICMP echo: 0 */
	__u8 proto;
	__u8 pad[3];
};

/*
 * c25_index: connector, by hash of a tuple: in which slot of c25_flows its flow is. A cell is 0, or
 * a slot plus 1 in its lower bits and a part of the hash above. As long as a line of the cache.
 */
#define C25_CELLS     8
#define C25_SLOT_BITS 25

struct c25_bucket {
	__u64 cell[C25_CELLS];
};

enum c25_flow_state {
	C25_FLOW_FREE = 0,
	C25_FLOW_NEW,         /* packets in one direction only */
	C25_FLOW_ESTABLISHED, /* both directions seen */
	C25_FLOW_CLOSING,     /* TCP FIN or RST seen, of either side */
	C25_FLOW_REVOKED,     /* its route left its uplink; the next sweep ends it */
	C25_FLOW_ENDED,       /* out of c25_index; free again after one full sweep */
};

/* In the order of use: a packet out needs the first two lines of the cache alone. */
struct c25_flow {
	struct c25_tuple out; /* as the client sends it: inner source to transit */
	__u32 state;          /* enum c25_flow_state */
	__u32 peer;           /* c25_peers */
	__u32 uplink;         /* interface index */
	__u8 tcp_flags[2];    /* OR of those seen, out and back */
	__u8 pad[2];
	__u64 last_seen;
	struct c25_tuple in; /* as the reply comes: real to the uplink's address */
	__u64 created;
	struct c25_count count[2]; /* out, back */
	__u32 app;                 /* c25_apps */
	__u32 next;                /* FREE: the next free slot plus 1; 0: none */
	__u64 pad2[5];
};

/* c25_frags: connector; where the fragments of a datagram belong. The least used make room. */
enum c25_frag_kind {
	C25_FRAGS_OUT = 1, /* inner source to transit */
	C25_FRAGS_BACK,    /* real to the uplink's address */
	C25_FRAGS_USED,    /* uplink's address to real: an identification in use */
};

struct c25_frag_key {
	struct c25_addr src;
	struct c25_addr dst;
	__be32 id;  /* IPv4: in the first two bytes */
	__u8 proto; /* IPv6: 0, the identification alone tells datagrams apart */
	__u8 kind;  /* enum c25_frag_kind */
	__u8 pad[2];
};

enum c25_frag_state {
	C25_FRAG_EARLY = 1, /* later ones only have been seen */
	C25_FRAG_HOST,      /* back: the first one is no flow's */
	C25_FRAG_FLOW,
};

struct c25_frag_entry {
	__u32 state; /* enum c25_frag_state */
	__u32 slot;  /* c25_flows */
	__be32 id;   /* out: what the identification becomes */
	__u32 early; /* back: copies in c25_early */
	__u64 seen;
};

/* c25_early: connector, a ring; later fragments that came back before their first one. */
#define C25_EARLY_LEN 2048

struct c25_early {
	struct c25_frag_key key;
	__u32 next; /* of the first slot only: the next slot, modulo their number */
	__u32 seq;  /* odd while it is written */
	__u32 len;  /* of the whole frame; 0: free */
	__u8 frame[C25_EARLY_LEN];
};

/* c25_tick[0]: the one timer; its clock saves each packet a helper call. */
struct c25_tick {
	struct bpf_timer timer;
	__u64 now;    /* seconds of CLOCK_BOOTTIME, at most one period old */
	__u32 cursor; /* next slot of c25_flows to look at */
	__u32 high;   /* slots ever used: the sweep need not go further */
	__u64 free;   /* lower half: the first free slot plus 1, 0: none; upper half: a count */
	__u32 beat;   /* changes several times a second; 0: the timer never ran */
	__u32 pad;
};

/* c25_limits: per CPU, by enum c25_limit_kind: how much of this second's share is used. */
enum c25_limit_kind {
	C25_LIMIT_DROP,
	C25_LIMIT_UNMAPPED,
	C25_LIMIT_ICMP,
	C25_LIMIT_MAX,
};

struct c25_limit {
	__u64 second;
	__u64 used;
};

/* c25_events: ring buffer, rate-limited; the controller's only news from packets. */
enum c25_event_kind {
	C25_EVENT_UNMAPPED = 1, /* client: a connector does not know `transit` of ours */
	C25_EVENT_DROP,         /* a packet was dropped, for `monitor` */
};

struct c25_event {
	__u32 kind;   /* enum c25_event_kind */
	__u32 reason; /* enum c25_reason */
	struct c25_addr src;
	struct c25_addr dst;
	__u32 peer;
	__u8 proto;
	__u8 pad[3];
};

/* c25_names: domains whose questions are taken, by c25_name_step() over them; and with no flag what
 * they end in, so that a name is looked at no further than domains go. */
#define C25_NAME_EXACT      (1U << 0)
#define C25_NAME_WILD       (1U << 1)
#define C25_NAME_EXACT_SELF (1U << 2) /* with EXACT: configured, but its questions go on */
#define C25_NAME_WILD_SELF  (1U << 3)

struct c25_name {
	__u8 wire[C25_NAME_LEN]; /* lower case, without the root label; zeroes behind it */
	__u32 len;
	__u32 flags;
};

/*
 * c25_ends: how no configured domain ends, so that most questions for other names are known by one
 * look. A bit for each c25_end_bit() of the last bytes that `mask` leaves, which no domain is
 * shorter than. All zero it says nothing.
 */
#define C25_END_BITS  20
#define C25_END_WORDS (1U << (C25_END_BITS - 6))

struct c25_ends {
	__u64 mask;
	__u64 none[C25_END_WORDS];
};

/*
 * c25_answers: answers that the programs give themselves, by c25_name_step() over the name and
 * then the type. Good only where each magic address in it still has a live mapping whose
 * connector is not in c25_down.
 */
#define C25_ANSWER_MAX   8
#define C25_ANSWER_GRACE 300 /* seconds, with no daemon, beyond the TTL */
#define C25_ANSWER_STALE 5   /* the TTL said in that time */
#define C25_RR4          16  /* bytes of a record, its owner a pointer to the question */
#define C25_RR6          28

struct c25_answer {
	struct c25_addr server; /* who was asked: another one may know better */
	__u64 ends;             /* its TTL is over */
	__u64 renewed;          /* a question was let through to renew it */
	__u32 ttl;              /* at first */
	__u32 n;                /* addresses */
	__u32 len;              /* of the name */
	__u16 type;             /* A or AAAA */
	__u16 flags;            /* AA and RA, as the server set them; host order */
	struct c25_addr magic[C25_ANSWER_MAX];
	__u8 wire[C25_NAME_LEN]; /* the name as in struct c25_name */
};

/* c25_dns_to: by destination, longest prefix first: whether questions to it are taken. */
#define C25_DNS_TO_PASS 0
#define C25_DNS_TO_TAKE 1

/* c25_dns_ports: by interface index: ports of bridges, and bridges whose ports alone are meant.
 * A bridge takes a packet's socket away, so what a port finds is given to it at the bridge. */
#define C25_PORT_BRIDGED (1U << 0) /* `mac`: its bridge's own */
#define C25_PORT_MARKED  (1U << 1) /* only what one of its ports found is taken */
#define C25_PORT_UPWARDS (1U << 2) /* with C25_PORT_BRIDGED: only what is for its bridge */

struct c25_dns_port {
	__u8 mac[6];
	__u16 flags;
};

/* c25_socks: the daemon's sockets. They leave the map when it dies. */
enum c25_sock {
	C25_SOCK_UDP4,
	C25_SOCK_UDP6,
	C25_SOCK_TCP4,
	C25_SOCK_TCP6,
	C25_SOCK_MAX,
};

/* On packets that are given to one of them: routes them to this host. */
#define C25_MARK        0x0c25
#define C25_MARK_ANSWER 0x0c26 /* on what they answer */
#define C25_MARK_MASK   0x0fff

#define C25_LOW_BITS  0x7f7f7f7f7f7f7f7fULL
#define C25_HIGH_BITS 0x8080808080808080ULL
#define C25_EACH_BYTE 0x0101010101010101ULL

/* Each byte of a word in lower case; a sum of two such bytes carries into no other. */
static inline __u64 c25_lower8(__u64 w)
{
	__u64 low = w & C25_LOW_BITS;
	__u64 from_a = low + (0x80 - 'A') * C25_EACH_BYTE;
	__u64 beyond_z = low + (0x80 - 'Z' - 1) * C25_EACH_BYTE;

	return w | (from_a & ~beyond_z & ~w & C25_HIGH_BITS) >> 2;
}

/* One step of the hash by which names are found. A name's labels are taken up from the last to the
 * first, each as words of eight bytes from its length byte on, lower case, with zeroes behind:
 * after each label it is the hash of a suffix. */
static inline __u64 c25_name_step(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return (hash ^ hash >> 32) * 0xd6e8feb86659fd93ULL;
}

/* Before the first step. `cookie`: c25_meta's. */
static inline __u64 c25_name_start(__u32 cookie)
{
	return ((__u64)cookie << 32 | cookie) * 0xd6e8feb86659fd93ULL;
}

/* Of a name's last eight bytes, lower case, without the root label and masked. */
static inline __u32 c25_end_bit(__u64 end)
{
	return (__u32)(end * 0x9e3779b97f4a7c15ULL >> (64 - C25_END_BITS));
}

#pragma GCC diagnostic pop

_Static_assert(sizeof(struct c25_meta) == 48, "layout");
_Static_assert(sizeof(struct c25_peer) == 120, "layout");
_Static_assert(sizeof(struct c25_dev) == 48, "layout");
_Static_assert(sizeof(struct c25_overlay) == 92, "layout");
_Static_assert(sizeof(struct c25_magic) == 48, "layout");
_Static_assert(sizeof(struct c25_transit) == 48, "layout");
_Static_assert(sizeof(struct c25_kept) == 32, "layout");
_Static_assert(sizeof(struct c25_lease) == 320, "layout");
_Static_assert(sizeof(struct c25_mapping) == 56, "layout");
_Static_assert(sizeof(struct c25_mapping_key) == 32, "layout");
_Static_assert(sizeof(struct c25_tuple) == 40, "layout");
_Static_assert(sizeof(struct c25_bucket) == 64, "layout");
_Static_assert(sizeof(struct c25_flow) == 192, "layout");
_Static_assert(sizeof(struct c25_frag_key) == 40, "layout");
_Static_assert(sizeof(struct c25_frag_entry) == 24, "layout");
_Static_assert(sizeof(struct c25_early) == 2100, "layout");
_Static_assert(sizeof(struct c25_tick) == 48, "layout");
_Static_assert(sizeof(struct c25_event) == 48, "layout");
_Static_assert(sizeof(struct c25_net_key) == 20, "layout");
_Static_assert(sizeof(struct c25_app) == 256, "layout");
_Static_assert(sizeof(struct c25_answer) == 432, "layout");
_Static_assert(sizeof(struct c25_name) == 264, "layout");

/*
 * Every packet that a program touches ends in exactly one of these: name, whether it was
 * dropped, text. The kernel, the metrics and the command line all read this list.
 */
#define C25_REASONS(X)                                                                             \
	X(PASS, 0, "not ours, passed on")                                                          \
	X(CLIENT_OUT, 0, "magic translated to transit")                                            \
	X(CLIENT_BACK, 0, "transit translated back to magic")                                      \
	X(CONNECTOR_OUT, 0, "transit translated to the real address")                              \
	X(CONNECTOR_BACK, 0, "reply translated to transit")                                        \
	X(OVERLAY_OUT, 0, "to a peer's overlay address")                                           \
	X(OVERLAY_IN, 0, "from a peer's overlay address")                                          \
	X(NO_MAGIC, 1, "magic address without a mapping")                                          \
	X(DEAD_MAGIC, 1, "magic address whose mapping was refused or has ended")                   \
	X(NO_MAPPING, 1, "transit address that this peer has not mapped")                          \
	X(UNMAPPED_HELD, 1, "connector's error for a live mapping, kept back and told again")      \
	X(NO_TRANSIT, 1, "reply from a transit address without a mapping")                         \
	X(FORWARDED, 1, "forwarded to an overlay address, which only a node itself may reach")     \
	X(SPOOFED_OUTER, 1, "tunnel source does not belong to the inner source")                   \
	X(SPOOFED_INNER, 1, "inner source belongs to no peer")                                     \
	X(WRONG_CONNECTOR, 1, "reply from a peer that is not the mapping's connector")             \
	X(STRAY, 1, "neither a peer's nor of a pool: nothing else may use the tunnel")             \
	X(NO_TUNNEL, 1, "no underlay address known for the peer")                                  \
	X(MALFORMED, 1, "headers cut short or not consistent")                                     \
	X(FRAGMENT, 1, "fragment of a datagram whose flow has ended")                              \
	X(PROTOCOL, 1, "protocol that cannot be translated")                                       \
	X(NO_ROUTE, 1, "no route to the real address")                                             \
	X(NOT_UPLINK, 1, "route to the real address leaves through no uplink")                     \
	X(NO_UPLINK_ADDR, 1, "uplink has no address of this family")                               \
	X(TTL, 1, "time to live exceeded")                                                         \
	X(TOO_BIG, 1, "longer than the next link carries")                                         \
	X(TABLE_FULL, 1, "flow table full")                                                        \
	X(QUOTA, 1, "peer has used up its share of flows")                                         \
	X(NO_PORT, 1, "no source port free towards this destination")                              \
	X(AMBIGUOUS, 1, "protocol without ports, in use towards this real address already")        \
	X(FRAGMENT_EARLY, 0, "later fragment before its first one: copied, and left to the host")  \
	X(NO_FLOW, 0, "to a translation port, but of no flow: left to the host")                   \
	X(NOT_STARTED, 1, "TCP segment of no flow that does not start one")                        \
	X(ICMP_NO_FLOW, 1, "ICMP error that quotes no flow")                                       \
	X(REVOKED, 1, "flow no longer allowed")                                                    \
	X(REROUTED, 1, "route left the flow's uplink, whose address it uses: flow ended")          \
	X(DNS_OTHER, 0, "DNS question for a name that is not configured, left alone")              \
	X(DNS_TAKEN, 0, "DNS question for a configured name, given to the daemon")                 \
	X(DNS_TCP_TAKEN, 0, "DNS over TCP, given to the daemon")                                   \
	X(DNS_TCP_OTHER, 0, "DNS over TCP that is not the daemon's, left alone")                   \
	X(DNS_REFUSED, 0,                                                                          \
	  "no daemon: question for a configured name refused, its connection reset")               \
	X(DNS_ANSWERED, 0, "DNS question for a leased name answered by the kernel")                \
	X(DNS_STALE, 0, "no daemon: answered by the kernel beyond the TTL, within the grace")      \
	X(DNS_OPEN, 0, "no daemon: question for a configured name let go on")                      \
	X(DNS_CLOSED, 1, "no daemon: question for a configured name that could not be answered")   \
	X(INTERNAL, 1, "a kernel helper failed")

enum c25_reason {
#define C25_REASON_ENUM(name, drop, text) C25_REASON_##name,
	C25_REASONS(C25_REASON_ENUM)
#undef C25_REASON_ENUM
		C25_REASON_MAX,
};

#endif
