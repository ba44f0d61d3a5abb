/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/* floor: what the program is told before it is loaded. Both sides include this. */
#ifndef FLOOR_H
#define FLOOR_H

/* In network order, as in a packet. */
struct floor_turn {
	__u64 was[4]; /* source and destination; IPv4: both in the first word */
	__u64 is[4];
	/* From the one to the other in a checksum, 16 bits; 0: they have one sum. */
	__u32 diff; /* L4 */
	__u32 head; /* IPv4 header, the time to live included */
	__u32 v6;
	__u32 out;     /* index of the device to send to; 0: the packet goes on as it is */
	__u32 macs[3]; /* for there: destination and source */
};

#endif
