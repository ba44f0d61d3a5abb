/* SPDX-License-Identifier: BSD-3-Clause */
#include "netmap_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static void free_strings(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i]);
	free(v);
}

static void free_node(struct netmap_node *node)
{
	free(node->id);
	free(node->pod_cidrs);
	free_strings(node->tags, node->n_tags);
	free(node->peer_api);
	free(node->peer_api_tls);
	free(node->wireguard_key);
}

static void free_app(struct netmap_app *app)
{
	free(app->name);
	free_strings(app->domains, app->n_domains);
	free_strings(app->connectors, app->n_connectors);
	free_strings(app->clients, app->n_clients);
	free(app->routes);
}

void netmap_free(struct netmap *nm)
{
	if (!nm)
		return;
	for (size_t i = 0; i < nm->n_nodes; i++)
		free_node(&nm->nodes[i]);
	free(nm->nodes);
	for (size_t i = 0; i < nm->n_apps; i++)
		free_app(&nm->apps[i]);
	free(nm->apps);
	for (size_t i = 0; i < NETMAP_POOLS; i++)
		free(nm->pools[i].v);
	free_strings(nm->warnings, nm->n_warnings);
	netmap_index_free(nm->index);
	free(nm);
}

const struct netmap_node *netmap_self(const struct netmap *nm)
{
	return nm->self == NETMAP_NO_SELF ? NULL : &nm->nodes[nm->self];
}

const struct netmap_app *netmap_app_by_name(const struct netmap *nm, const char *name)
{
	for (size_t i = 0; i < nm->n_apps; i++)
		if (!strcmp(nm->apps[i].name, name))
			return &nm->apps[i];
	return NULL;
}

/* Not by the size that stat() tells: a pipe, or a file of /proc, has none. */
static int read_all(char **out, size_t *len, int fd)
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0, size = 0;

	for (;;) {
		ssize_t got;

		if (n == size) {
			char *grown;

			if (size > NETMAP_MAX_BYTES)
				return -EFBIG;
			size = size ? 2 * size : 65536;
			grown = realloc(text, size);
			if (!grown)
				return -ENOMEM;
			text = grown;
		}
		got = read(fd, text + n, size - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		n += (size_t)got;
	}
	if (n > NETMAP_MAX_BYTES)
		return -EFBIG;
	*out = TAKE_PTR(text);
	*len = n;
	return 0;
}

static int fault_unread(struct netmap_fault *fault, int err)
{
	fault->path[0] = 0;
	if (err == -EFBIG)
		snprintf(fault->text, sizeof(fault->text), "cannot be read: it is over %u MiB",
			 NETMAP_MAX_BYTES >> 20);
	else
		snprintf(fault->text, sizeof(fault->text), "cannot be read: %s", strerror(-err));
	return err;
}

int netmap_read(struct netmap **out, const char *path, const char *self, struct netmap_fault *fault)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int err;

	if (fd < 0)
		return fault_unread(fault, -errno);
	err = read_all(&text, &len, fd);
	if (err)
		return fault_unread(fault, err);
	return netmap_parse(out, text, len, self, fault);
}
