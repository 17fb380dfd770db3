#include "script/lib_thread.h"

#include "base/config.h"
#include "base/snapshot.h"
#include "script/process_child.h"
#include "script/vm.h"
#include "script/worker_vm.h"

static const struct worker_origin *origin_of(lua_State *L)
{
    return offload_origin_data(worker_vm_origin(VM_UPVALUE(L)->worker));
}

static struct str check_str(lua_State *L, int index)
{
    struct str text;
    text.ptr = luaL_checklstring(L, index, &text.len);
    return text;
}

/* blob(number): what the caller's side put under it */
static int l_blob(lua_State *L)
{
    struct offload_origin *origin = worker_vm_origin(VM_UPVALUE(L)->worker);
    uint32_t number = (uint32_t)luaL_checkinteger(L, 1);
    struct process_child *child = origin_of(L)->child;
    if (child != NULL) {
        process_child_push_blob(child, number, L);
        return 1;
    }
    struct str bytes = offload_origin_get(origin, number);
    lua_pushlstring(L, bytes.ptr != NULL ? bytes.ptr : "", bytes.len);
    return 1;
}

/* file(app, name): its bytes as this app sees them, or nil */
static int l_file(lua_State *L)
{
    const struct worker_origin *origin = origin_of(L);
    struct snapshot_file file;
    if (origin->snapshot == NULL ||
        !snapshot_find(origin->snapshot, check_str(L, 1), check_str(L, 2), &file))
        return 0;
    lua_pushlstring(L, file.bytes.ptr, file.bytes.len);
    return 1;
}

/* add_file(path): only the loop's side tells the watcher */
static int l_add_file(lua_State *L)
{
    (void)L;
    return 0;
}

/* files(): the names of an app's files on disk, as at the start of the generation */
static int l_files(lua_State *L)
{
    const struct worker_origin *origin = origin_of(L);
    size_t count = origin->snapshot != NULL ? snapshot_count(origin->snapshot) : 0;
    int nfiles = 0;
    lua_newtable(L);
    for (size_t i = 0; i < count; i++) {
        struct snapshot_file file = snapshot_at(origin->snapshot, i);
        if (file.layer.len != 0)
            continue;
        lua_pushlstring(L, file.name.ptr, file.name.len);
        lua_rawseti(L, -2, ++nfiles);
    }
    return 1;
}

/* apps_dir(): absolute, or nil outside a server */
static int l_apps_dir(lua_State *L)
{
    const struct worker_origin *origin = origin_of(L);
    if (origin->apps_dir == NULL)
        return 0;
    lua_pushstring(L, origin->apps_dir);
    return 1;
}

/* is_cancelled(): whether the caller of the running job has stopped waiting */
static int l_is_cancelled(lua_State *L)
{
    lua_pushboolean(L, worker_vm_is_cancelled(VM_UPVALUE(L)->worker));
    return 1;
}

/* is_heard(): whether the caller of the running job wants progress */
static int l_is_heard(lua_State *L)
{
    const struct worker_vm *worker = VM_UPVALUE(L)->worker;
    const struct worker_job *job = worker_vm_job(worker);
    lua_pushboolean(L, job != NULL && job->max_posted != 0 && !worker_vm_is_cancelled(worker));
    return 1;
}

/* post(parcel, parts): sends it to the caller of the running job, who wants it */
static int l_post(lua_State *L)
{
    struct worker_job *job = worker_vm_job(VM_UPVALUE(L)->worker);
    struct parcel *parcel = parcel_read(L, 1);
    if (parcel == NULL) {
        vm_push_error(L, "system", "not enough memory for a message");
        return lua_error(L);
    }
    if (job != NULL && job->max_posted != 0)
        job->post(job, parcel);
    else
        parcel_free(parcel);
    return 0;
}

int luaopen_moonloop_core_thread(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"blob", l_blob},         {"file", l_file},         {"files", l_files},
        {"add_file", l_add_file}, {"apps_dir", l_apps_dir}, {"is_cancelled", l_is_cancelled},
        {"is_heard", l_is_heard}, {"post", l_post},         {NULL, NULL}};
    vm_library(L, functions);
    return 1;
}
