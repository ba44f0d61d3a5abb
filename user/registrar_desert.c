/* SPDX-License-Identifier: BSD-3-Clause */
#include "registrar_int.h"

void desert_again(struct registrar *r, struct conn *c)
{
	c->all_leave = true;
	c->desert_at = c->failing_since + (c->how == REGISTRAR_PRESENT ? RESTART_MS : SILENCE_MS);
	if (c->desert_at < r->now)
		c->desert_at = r->now;
}

void desert_end(struct conn *c)
{
	link_splice(&c->held, &c->leaving);
	link_splice(&c->held, &c->staying);
	c->desert_at = NEVER;
}

bool desert_is_empty(const struct conn *c)
{
	return link_empty(&c->held) && link_empty(&c->leaving) && link_empty(&c->staying);
}

/* Whether it stays where it is for now. */
static bool stays(struct registrar *r, const struct registration *reg, const struct conn *c)
{
	return waits_empty(&reg->waits) && r->ops->forwards(r->ctx, reg->lease, c->how);
}

static void desert_one(struct registrar *r, struct conn *c, struct registration *reg)
{
	link_del(&reg->held);
	if (reg->quest && reg->target && reg->target != c) {
		link_add(&c->held, &reg->held);
		return;
	}
	if (stays(r, reg, c)) {
		link_add(&c->staying, &reg->held);
		return;
	}
	link_add(&c->held, &reg->held);
	reg->tried = 0;
	if (quest_has_alternative(reg))
		quest_begin(r, reg, NULL);
}

/* What it holds goes to others that are healthy; where there is none, it stays. In slices: each
 * registration may cost look-ups, and a move writes to the maps. */
void desert(struct registrar *r, struct conn *c)
{
	if (c->all_leave) {
		link_splice(&c->leaving, &c->held);
		standby_failing(r, c);
		c->all_leave = false;
	}
	if (link_empty(&c->leaving))
		link_splice(&c->leaving, &c->staying);
	for (size_t i = 0; i < DESERT_SLICE && !link_empty(&c->leaving); i++)
		desert_one(r, c, LINK_OF(c->leaving.next, struct registration, held));
	if (!link_empty(&c->leaving))
		c->desert_at = r->now + DESERT_PAUSE_MS;
	else
		c->desert_at = link_empty(&c->staying) ? NEVER : r->now + DESERT_AGAIN_MS;
}
