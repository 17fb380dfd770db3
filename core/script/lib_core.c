#include "script/lib_core.h"

#include "script/exchange.h"
#include "script/job.h"
#include "script/lib_activity.h"
#include "script/lib_clock.h"
#include "script/lib_duplex.h"
#include "script/lib_file.h"
#include "script/lib_host.h"
#include "script/lib_http.h"
#include "script/lib_json.h"
#include "script/lib_log.h"
#include "script/lib_offload.h"
#include "script/lib_process.h"
#include "script/lib_shared.h"
#include "script/lib_testing.h"
#include "script/lib_tls.h"
#include "script/lib_topic.h"
#include "script/lib_websocket.h"
#include "script/task.h"
#include "script/vm.h"
#include "script/wait_queue.h"

void lib_core_preload(struct vm *vm)
{
    vm_preload(vm, "moonloop.core.task", luaopen_moonloop_core_task);
    vm_preload(vm, "moonloop.core.activity", luaopen_moonloop_core_activity);
    vm_preload(vm, "moonloop.core.clock", luaopen_moonloop_core_clock);
    vm_preload(vm, "moonloop.core.job", luaopen_moonloop_core_job);
    vm_preload(vm, "moonloop.core.wait_queue", luaopen_moonloop_core_wait_queue);
    vm_preload(vm, "moonloop.core.file", luaopen_moonloop_core_file);
    vm_preload(vm, "moonloop.core.json", luaopen_moonloop_core_json);
    vm_preload(vm, "moonloop.core.http", luaopen_moonloop_core_http);
    vm_preload(vm, "moonloop.core.request", luaopen_moonloop_core_request);
    vm_preload(vm, "moonloop.core.log", luaopen_moonloop_core_log);
    vm_preload(vm, "moonloop.core.offload", luaopen_moonloop_core_offload);
    vm_preload(vm, "moonloop.core.host", luaopen_moonloop_core_host);
    vm_preload(vm, "moonloop.core.tls", luaopen_moonloop_core_tls);
    vm_preload(vm, "moonloop.core.process", luaopen_moonloop_core_process);
    vm_preload(vm, "moonloop.core.shared", luaopen_moonloop_core_shared);
    vm_preload(vm, "moonloop.core.lease", luaopen_moonloop_core_lease);
    vm_preload(vm, "moonloop.core.topic", luaopen_moonloop_core_topic);
    vm_preload(vm, "moonloop.core.duplex", luaopen_moonloop_core_duplex);
    vm_preload(vm, "moonloop.core.websocket", luaopen_moonloop_core_websocket);
    vm_preload(vm, "moonloop.core.testing", luaopen_moonloop_core_testing);
}
