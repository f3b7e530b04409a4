/* Lists, reads, makes and revokes the tokens of this API; in force when answered. */
#include "managerd/authorize.h"
#include "managerd/credential.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/scope.h"
#include "managerd/tokens.h"

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/id.h"

/* As the API shows it; `in_force` tells when it was used. It never changes, so it needs no ETag. */
static struct json *show(struct view id, const struct json *record, const struct token *in_force)
{
    struct json *shown = json_new_object();
    json_set_string(shown, "id", id);
    for (const struct json *one = json_first(record); one; one = json_next(one))
        if (!view_equal(json_name(one), VIEW("sha256")))
            json_set(shown, json_name(one).data, json_copy(one));
    json_set_null(shown, "lastUsedAt");
    json_set_null(shown, "lastUsedFrom");
    if (in_force && in_force->last_used_ms) {
        set_time(shown, "lastUsedAt", in_force->last_used_ms);
        json_set_string(shown, "lastUsedFrom", view_of(in_force->last_used_from));
    }
    return shown;
}

struct listing {
    struct call *call;
    struct page page;
    struct json *items;
    struct view last;
    bool more;
};

static bool on_token(struct view key, struct view value, uint64_t revision, void *context)
{
    struct listing *listing = context;
    struct call *call = listing->call;
    struct json *record = NULL;
    struct view id = view_slice(key, sizeof "tokens/" - 1, SIZE_MAX);
    (void)revision;
    if (view_equal(id, listing->page.after) || record_parse(value, &record))
        return true;
    bool wanted = scope_covers(principal_scope(&call->principal), json_get(record, "apps"));
    if (wanted && json_count(listing->items) == listing->page.limit) {
        listing->more = true;
    } else if (wanted) {
        json_append(listing->items,
                    show(id, record, authenticator_find(call->server->authenticator, id)));
        listing->last = arena_copy(&call->arena, id);
    }
    json_free(record);
    return !listing->more;
}

enum progress token_list(struct call *call)
{
    struct listing listing = {.call = call};
    if (!call_page(call, &listing.page, token_id_valid))
        return PROGRESS_FAIL;
    listing.items = json_new_array();
    struct key first = key_token(listing.page.after);
    enum error error =
        state_range(call->server->state, VIEW("tokens/"), view_of(first.text), on_token, &listing);
    if (error) {
        json_free(listing.items);
        return call_fail_error(call, error);
    }
    return call_answer_page(call, listing.items, listing.more ? listing.last : VIEW(""));
}

static struct view id_of(const struct call *call)
{
    return call->parameters.values[0];
}

/* The one that the path names; false: answered. */
static bool read_token(struct call *call, struct record *token)
{
    struct key key = key_token(id_of(call));
    enum error error = token_id_valid(id_of(call))
                           ? record_read(call->server->state, key.text, token)
                           : ERROR_NOT_FOUND;
    if (error == ERROR_NOT_FOUND)
        call_fail_token(call);
    else if (error)
        call_fail_error(call, error);
    return error == ERROR_NONE;
}

enum progress token_get(struct call *call)
{
    struct record token;
    if (!read_token(call, &token))
        return PROGRESS_FAIL;
    struct json *shown =
        show(id_of(call), token.json, authenticator_find(call->server->authenticator, id_of(call)));
    record_release(&token);
    return call_answer(call, 200, shown);
}

static struct json *make_record(struct call *call, struct view secret)
{
    char hash[65];
    struct json *record = json_new_object();
    const struct json *apps = json_get(call->body, "apps");
    struct view expires = call_expiry(call);
    credential_hash(secret, hash);
    json_set_string(record, "name", text_of(call->body, "name"));
    json_set_string(record, "role", text_of(call->body, "role"));
    json_set(record, "apps", scope_is_all(apps) ? json_new_null() : json_copy(apps));
    json_set_string(record, "hint", view_slice(secret, 0, CREDENTIAL_HINT));
    json_set_string(record, "sha256", view_of(hash));
    set_time(record, "createdAt", clock_wall_ms());
    json_set_string(record, "createdBy", view_of(call->principal.label));
    if (expires.length)
        json_set_string(record, "expiresAt", expires);
    else
        json_set_null(record, "expiresAt");
    return record;
}

static enum progress made(struct call *call)
{
    tokens_learn(call->server, text_of(call->result, "id"));
    return PROGRESS_NEXT;
}

static enum progress save(struct call *call, const struct json *record, struct view secret)
{
    char id[ID_SIZE];
    id_make(id);
    struct key key = key_token(view_of(id));
    struct json *shown = show(view_of(id), record, NULL);
    json_set_string(shown, "secret", secret);
    change_compare(&call->change, key.text, 0);
    change_put(&call->change, key.text, record);
    call->location = arena_format(&call->arena, "/v1/tokens/%s", id);
    call->on_committed = made;
    return call_commit(call, 201, shown, false);
}

enum progress token_post(struct call *call)
{
    char secret[CREDENTIAL_SIZE];
    enum progress verdict;
    credential_make(TOKEN_PREFIX, secret);
    struct json *record = make_record(call, view_of(secret));
    if (call->faults.count)
        verdict = call_fail_faults(call);
    else if (!scope_covers(principal_scope(&call->principal), json_get(record, "apps")))
        verdict = call_fail(call, PROBLEM_FORBIDDEN,
                            "A token that is limited to some apps makes only tokens that are "
                            "limited to the same apps, or to fewer.");
    else if (authenticator_full(call->server->authenticator))
        verdict = call_fail(call, PROBLEM_CONFLICT,
                            "There are as many tokens as fit already. "
                            "Revoke some that are in use no more.");
    else if (!token_lasts(record) && !tokens_other_lasts(call, VIEW("")))
        verdict = call_fail(call, PROBLEM_CONFLICT,
                            "The first token must be an admin's, of all apps and without an end: "
                            "with any other one everybody would be locked out.");
    else if (call_precondition_untagged(call))
        verdict = save(call, record, view_of(secret));
    else
        verdict = PROGRESS_FAIL;
    wipe(secret, sizeof secret);
    json_free(record);
    return verdict;
}

static enum progress revoked(struct call *call)
{
    tokens_forget(call->server, arena_string(&call->arena, id_of(call)));
    return PROGRESS_NEXT;
}

enum progress token_delete(struct call *call)
{
    struct record token;
    struct key key = key_token(id_of(call)), use = key_token_use(id_of(call));
    if (!read_token(call, &token))
        return PROGRESS_FAIL;
    bool locks_out = token_lasts(token.json) && !tokens_other_lasts(call, id_of(call));
    uint64_t revision = token.revision;
    record_release(&token);
    if (locks_out)
        return call_fail(call, PROBLEM_CONFLICT,
                         "This is the last token of an admin of all apps that does not expire; "
                         "without it everybody would be locked out. Make another one first.");
    if (!call_precondition_untagged(call))
        return PROGRESS_FAIL;
    change_compare(&call->change, key.text, revision);
    change_remove(&call->change, key.text);
    change_remove(&call->change, use.text);
    call->on_committed = revoked;
    return call_commit(call, 204, NULL, false);
}
