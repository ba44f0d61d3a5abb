/* SPDX-License-Identifier: BSD-3-Clause */
#include "registrar_int.h"

static void tell_again(struct registrar *r, struct registration *reg)
{
	reg->confirmed = false;
	quest_begin(r, reg, reg->home);
	link_del(&reg->at);
	link_add(&reg->home->urgent, &reg->at);
}

void registrar_changed(struct registrar *r, struct lease *l, uint64_t now)
{
	struct registration *reg = l->registration;

	registrar_enter(r, now);
	if (reg && !reg->ended && reg->home && !reg->quest)
		tell_again(r, reg);
	registrar_leave(r);
}

/* Told again a moment ago: once more when its time has come. */
static void again_later(struct registrar *r, struct registration *reg)
{
	struct link *at = &r->again;

	reg->again_asked = r->now;
	if (!link_empty(&reg->again))
		return;
	while (at->prev != &r->again &&
	       LINK_OF(at->prev, struct registration, again)->again_at > reg->again_at)
		at = at->prev;
	link_add(at, &reg->again);
	if (r->due > reg->again_at)
		r->due = reg->again_at;
}

void registrar_again(struct registrar *r, struct lease *l, uint64_t now)
{
	struct registration *reg = l->registration;

	registrar_enter(r, now);
	if (reg && !reg->ended && reg->home && !reg->quest) {
		if (r->now >= reg->again_at) {
			link_del(&reg->again);
			reg->again_at = r->now + AGAIN_MS;
			tell_again(r, reg);
		} else {
			again_later(r, reg);
		}
	}
	registrar_leave(r);
}

/* Unless its home has agreed to it since. */
void again_tick(struct registrar *r)
{
	while (!link_empty(&r->again)) {
		struct registration *reg = LINK_OF(r->again.next, struct registration, again);

		if (reg->again_at > r->now)
			return;
		link_del(&reg->again);
		if (!reg->home || reg->quest || reg->agreed > reg->again_asked)
			continue;
		reg->again_at = r->now + AGAIN_MS;
		tell_again(r, reg);
	}
}
