/* What several endpoints do with apps: create, show, deploy. */
#ifndef MANAGERD_APPS_H
#define MANAGERD_APPS_H

#include "managerd/acceptance.h"
#include "managerd/call.h"

/* The app as the API shows it; the record is empty then. */
struct json *apps_show_record(const struct call *call, struct record *app);
struct json *apps_show(const struct call *call, const struct json *app, uint64_t revision);

/* Makes a new app from settings (public members, any may be absent; consumed) and adds its records
 * to call->change. NULL: the answer is set. */
struct json *apps_create(struct call *call, struct json *settings);

/* One deployment, whose package is stored. `wish` holds the versioned settings, environment,
 * description, traffic and adopt, as the deployment's body does. Creates the app if need be. Adds
 * all records to call->change and starts the operation. */
enum progress apps_deploy(struct call *call, const struct json *wish,
                          const struct acceptance_package *package, bool enable);

/* Adds to call->change that each version of the traffic stays ready until the commit; a fault at
 * POINTER/n/version for each that is not. */
void apps_hold_versions(struct call *call, const struct json *traffic, const char *pointer);

/* Fills in function.name and checks it and the role; false: faults are set. */
bool apps_complete_function(struct call *call, struct json *settings);

#endif
