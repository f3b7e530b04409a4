# Writes the JSON Schemas as C arrays, so that managerd holds them: ${CMAKE_CURRENT_BINARY_DIR}/schemas_data.h.
file(GLOB schemas CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/schemas/*.json)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${schemas})
set(arrays "")
set(rows "")
foreach(schema ${schemas})
  get_filename_component(name ${schema} NAME)
  string(MAKE_C_IDENTIFIER ${name} identifier)
  file(READ ${schema} bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(APPEND arrays "static const unsigned char ${identifier}[] = {${bytes}};\n")
  string(APPEND rows "    {\"${name}\", ${identifier}, sizeof ${identifier}},\n")
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/schemas_data.h @ONLY CONTENT
"${arrays}static const struct {
    const char *name;
    const unsigned char *data;
    size_t length;
} schema_files[] = {
${rows}};
")

# And the examples of the OpenAPI document: ${CMAKE_CURRENT_BINARY_DIR}/examples_data.h.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/examples.json)
file(READ ${CMAKE_CURRENT_SOURCE_DIR}/examples.json bytes HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/examples_data.h @ONLY CONTENT
"static const unsigned char examples_json[] = {${bytes}};
")
