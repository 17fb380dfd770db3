#include "script/lib_core.h"

#include "script/task.h"
#include "script/vm.h"

void lib_core_preload(struct vm *vm)
{
    vm_preload(vm, "moonloop.core.task", luaopen_moonloop_core_task);
}
