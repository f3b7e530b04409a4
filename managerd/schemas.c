/* Finds the JSON Schemas, which the build has put into the program. */
#include "managerd/schemas.h"

#include "managerd/schemas_data.h" /* made by CMake: schema_files, name and bytes of each */

#define COUNT (sizeof schema_files / sizeof schema_files[0])

bool schema_find(struct view file, struct view *text)
{
    for (size_t i = 0; i < COUNT; i++)
        if (view_equal_string(file, schema_files[i].name)) {
            *text = view_from(schema_files[i].data, schema_files[i].length);
            return true;
        }
    return false;
}

const char *schema_name(size_t index)
{
    return index < COUNT ? schema_files[index].name : NULL;
}
