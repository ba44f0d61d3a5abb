/* SPDX-License-Identifier: BSD-3-Clause */
/* notify: tells the service manager through NOTIFY_SOCKET, where set (sd_notify(3)). */
#ifndef NOTIFY_H
#define NOTIFY_H

void notify_ready(void);
void notify_stopping(void);

#endif
