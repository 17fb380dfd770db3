#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>

void fault_set(struct fault *fault, const char *format, ...)
{
    if (fault->is_set)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(fault->text, sizeof(fault->text), format, args);
    va_end(args);
    fault->is_set = true;
}
