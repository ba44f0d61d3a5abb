/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath_pin.h"

#include "cleanup.h"
#include "datapath_hook.h"
#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BPFFS "/sys/fs/bpf"

DEFINE_CLEANUP(closedir, DIR *, closedir)

static const char *const dirs[] = { "maps", "links", "clsact" };

int pin_path(char path[PATH_MAX], const char *pin, const char *dir, const char *name)
{
	int n = snprintf(path, PATH_MAX, "%s/%s%s%s", pin, dir, name ? "/" : "", name ? name : "");

	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int pin_each(const char *pin, const char *dir, int (*each)(const char *name, void *ctx), void *ctx)
{
	_cleanup_(closedir) DIR *d = NULL;
	char path[PATH_MAX];
	struct dirent *e;
	int err;

	err = pin_path(path, pin, dir, NULL);
	if (err)
		return err;
	d = opendir(path);
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		err = each(e->d_name, ctx);
		if (err)
			return err;
	}
	return 0;
}

static int is_bpffs(const char *path)
{
	struct statfs st;

	if (statfs(path, &st))
		return -errno;
	return st.f_type == BPF_FS_MAGIC;
}

static int mount_bpffs(void)
{
	if (mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME, "mode=0700"))
		return log_errno(errno, "mount bpffs on " BPFFS " (needs root; or `mount -t bpf "
					"bpf " BPFFS "` before)");
	log_info("mounted bpffs on " BPFFS);
	return 0;
}

/* What precedes the last component must be a directory on bpffs. */
static int check_parent(const char *pin)
{
	char parent[PATH_MAX];
	size_t len = strlen(pin);
	int err;

	while (len > 1 && pin[len - 1] == '/')
		len--;
	while (len && pin[len - 1] != '/')
		len--;
	if (!len || len >= sizeof(parent)) {
		log_error("pin directory \"%s\" is not an absolute path; default is " BPFFS "/conn2"
			  "5",
			  pin);
		return -EINVAL;
	}
	memcpy(parent, pin, len);
	parent[len] = 0;
	if (!strncmp(pin, BPFFS "/", strlen(BPFFS "/")) && is_bpffs(BPFFS) == 0) {
		err = mount_bpffs();
		if (err)
			return err;
	}
	err = is_bpffs(parent);
	if (err < 0)
		return log_errno(-err, "pin directory %s: %s", pin, parent);
	if (!err) {
		log_error("pin directory %s is not inside a bpffs; choose one below " BPFFS
			  ", or `mount -t bpf bpf DIR` and choose one below DIR",
			  pin);
		return -EINVAL;
	}
	return 0;
}

struct foreign {
	bool (*ours)(const char *name);
	char name[NAME_MAX + 1];
};

static int find_foreign(const char *name, void *ctx)
{
	struct foreign *f = ctx;

	if (f->ours(name))
		return 0;
	snprintf(f->name, sizeof(f->name), "%s", name);
	return -ENOTEMPTY;
}

static bool is_our_dir(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (!strcmp(name, dirs[i]))
			return true;
	return false;
}

static bool is_our_map(const char *name)
{
	return !strncmp(name, "c25_", 4);
}

static bool is_our_hook(const char *name)
{
	uint32_t ifindex;

	return hook_parse(name, &ifindex) != NULL;
}

static int check_dir(const char *pin, const char *dir, bool (*ours)(const char *name))
{
	struct foreign f = { .ours = ours };
	int err = pin_each(pin, dir, find_foreign, &f);

	if (err == -ENOTEMPTY)
		log_error("%s holds \"%s%s%s\", which is not conn25's: nothing was touched; name "
			  "another directory with --pin, or take that away first",
			  pin, dir, *dir ? "/" : "", f.name);
	else if (err)
		return log_errno(-err, "read %s/%s", pin, dir);
	return err;
}

int pin_check(const char *pin)
{
	struct stat st;
	int err;

	if (stat(pin, &st))
		return errno == ENOENT || errno == ENOTDIR ? -ENOENT :
							     log_errno(errno, "read %s", pin);
	if (is_bpffs(pin) != 1) {
		log_error("%s is not on a bpffs, so conn25 pinned nothing there", pin);
		return -EINVAL;
	}
	err = check_dir(pin, "", is_our_dir);
	if (!err)
		err = check_dir(pin, "maps", is_our_map);
	if (!err)
		err = check_dir(pin, "links", is_our_hook);
	if (!err)
		err = check_dir(pin, "clsact", is_our_hook);
	return err;
}

int pin_prepare(const char *pin)
{
	char path[PATH_MAX];
	int err;

	err = check_parent(pin);
	if (err)
		return err;
	err = pin_check(pin);
	if (err && err != -ENOENT)
		return err;
	if (mkdir(pin, 0700) && errno != EEXIST)
		return log_errno(errno, "make pin directory %s", pin);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		err = pin_path(path, pin, dirs[i], NULL);
		if (!err && mkdir(path, 0700) && errno != EEXIST)
			err = -errno;
		if (err)
			return log_errno(-err, "make pin directory %s/%s", pin, dirs[i]);
	}
	return 0;
}

/* flock() takes each opening for a stranger, also one of this process: so they are remembered. */
static struct pin_lock {
	struct pin_lock *next;
	dev_t dev;
	ino_t ino;
	int fd;
	unsigned users;
} * held;

static int lock_new(struct pin_lock **out, const char *pin, const struct stat *st)
{
	_cleanup_close_ int fd = open(pin, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct pin_lock *l;

	if (fd < 0)
		return log_errno(errno, "open %s", pin);
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return log_errno(errno, "lock %s", pin);
		log_error("another conn25 runs on the pins in %s; end it, or give this one its own "
			  "--pin",
			  pin);
		return -EBUSY;
	}
	l = malloc(sizeof(*l));
	if (!l)
		return log_errno(ENOMEM, "lock %s", pin);
	*l = (struct pin_lock){ held, st->st_dev, st->st_ino, TAKE_FD(fd), 1 };
	held = l;
	*out = l;
	return 0;
}

int pin_lock(struct pin_lock **out, const char *pin)
{
	struct stat st;

	if (stat(pin, &st))
		return log_errno(errno, "open %s", pin);
	for (struct pin_lock *l = held; l; l = l->next) {
		if (l->dev != st.st_dev || l->ino != st.st_ino)
			continue;
		l->users++;
		*out = l;
		return 0;
	}
	return lock_new(out, pin, &st);
}

void pin_unlock(struct pin_lock *l)
{
	struct pin_lock **at = &held;

	if (--l->users)
		return;
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	close(l->fd);
	free(l);
}

static int unpin_map(const char *name, void *ctx)
{
	char path[PATH_MAX];
	int err = pin_path(path, ctx, "maps", name);

	if (!err && is_our_map(name) && unlink(path) && errno != ENOENT)
		err = -errno;
	return err;
}

int pin_clear_maps(const char *pin)
{
	int err = unpin_map("c25_meta", (void *)pin);

	if (!err)
		err = pin_each(pin, "maps", unpin_map, (void *)pin);
	return err;
}

int pin_rmdirs(const char *pin)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (!pin_path(path, pin, dirs[i], NULL))
			rmdir(path);
	return rmdir(pin) && errno != ENOENT ? -errno : 0;
}
