# Puts the console's files into managerd, plain and as gzip makes them: ${CMAKE_CURRENT_BINARY_DIR}/console_data.h. Nothing but CMake and gzip is needed.
find_program(GZIP_PROGRAM gzip REQUIRED)
file(GLOB console_files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/console/*.html ${CMAKE_CURRENT_SOURCE_DIR}/console/*.css
  ${CMAKE_CURRENT_SOURCE_DIR}/console/*.js ${CMAKE_CURRENT_SOURCE_DIR}/console/*.svg)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${console_files})

# All files lie below a folder named after what they hold, so that browsers may keep them for ever.
set(hashes "")
set(preloads "")
foreach(path ${console_files})
  get_filename_component(name ${path} NAME)
  file(SHA256 ${path} hash)
  string(APPEND hashes "${name} ${hash}\n")
  if(name MATCHES "\\.js$")
    string(APPEND preloads "<link rel=\"modulepreload\" href=\"/console/@CONSOLE_BUILD@/${name}\">\n")
  endif()
endforeach()
string(SHA256 CONSOLE_BUILD "${hashes}")
string(SUBSTRING ${CONSOLE_BUILD} 0 16 CONSOLE_BUILD)
string(CONFIGURE "${preloads}" CONSOLE_PRELOADS @ONLY)

# console_array VARIABLE IDENTIFIER PATH: the bytes of a file as a C array.
function(console_array variable identifier path)
  file(READ ${path} bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  set(${variable} "static const unsigned char ${identifier}[] = {${bytes}};\n" PARENT_SCOPE)
endfunction()

set(folder ${CMAKE_CURRENT_BINARY_DIR}/console)
file(MAKE_DIRECTORY ${folder})
set(arrays "")
set(rows "")
foreach(path ${console_files})
  get_filename_component(name ${path} NAME)
  string(MAKE_C_IDENTIFIER ${name} identifier)
  if(name STREQUAL "index.html")
    configure_file(${path} ${folder}/${name} @ONLY)
  else()
    configure_file(${path} ${folder}/${name} COPYONLY)
  endif()
  execute_process(COMMAND ${GZIP_PROGRAM} -9 -n -c ${folder}/${name} OUTPUT_FILE ${folder}/${name}.gz
    COMMAND_ERROR_IS_FATAL ANY)
  file(SHA256 ${folder}/${name} hash)
  string(SUBSTRING ${hash} 0 32 hash)
  console_array(plain ${identifier} ${folder}/${name})
  console_array(packed ${identifier}_gz ${folder}/${name}.gz)
  string(APPEND arrays "${plain}${packed}")
  string(APPEND rows "    {\"${name}\", \"${hash}\", {(const char *)${identifier}, sizeof ${identifier}},\n"
    "     {(const char *)${identifier}_gz, sizeof ${identifier}_gz}},\n")
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/console_data.h @ONLY CONTENT
"#define CONSOLE_BUILD \"${CONSOLE_BUILD}\"
${arrays}static const struct {
    const char *name, *hash;
    struct view plain, gzip;
} console_files[] = {
${rows}};
")
