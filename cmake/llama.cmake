# Finds libllama and defines gyre_llama (INTERFACE) and GYRE_HAVE_LLAMA.
#
# Looked for in this order: -DGYRE_LLAMA_ROOT=PREFIX; the per-user cache that scripts/setup fills (newest version first); a CMake package `llama`;
# pkg-config.
# What is found must compile the calls that engine/engine_llama.c makes (checked by compiling, not by version), and must not be built for the native
# processor: its numbers would differ from machine to machine. -DGYRE_LLAMA=OFF builds without. Without libllama everything but capture works.
option(GYRE_LLAMA "Build the language-model engine when libllama is found" ON)
set(GYRE_LLAMA_ROOT "" CACHE PATH "Prefix of an installed libllama (empty: look in the usual places)")
set(GYRE_HAVE_LLAMA FALSE)

# Prefixes in the per-user cache whose stamp says that they are not native builds.
function(gyre_llama_cached out)
  set(cache "$ENV{XDG_CACHE_HOME}")
  if(NOT cache)
    set(cache "$ENV{HOME}/.cache")
  endif()
  file(GLOB stamps "${cache}/gyre/libllama-*/gyre-stamp")
  list(SORT stamps COMPARE NATURAL ORDER DESCENDING)
  set(prefixes "")
  foreach(stamp IN LISTS stamps)
    file(STRINGS "${stamp}" portable REGEX "^-DGGML_NATIVE=OFF$")
    if(portable)
      get_filename_component(prefix "${stamp}" DIRECTORY)
      list(APPEND prefixes "${prefix}")
    endif()
  endforeach()
  set(${out} "${prefixes}" PARENT_SCOPE)
endfunction()

macro(gyre_llama_find)
  gyre_llama_cached(gyre_llama_prefixes)
  foreach(found llama_DIR ggml_DIR llama_LIBRARY GGML_LIBRARY GGML_BASE_LIBRARY GGML_CPU_LIBRARY)
    unset(${found} CACHE) # look again: the per-user cache may have been filled since
  endforeach()
  if(GYRE_LLAMA_ROOT)
    find_package(llama CONFIG QUIET PATHS "${GYRE_LLAMA_ROOT}" NO_DEFAULT_PATH)
  else()
    find_package(llama CONFIG QUIET PATHS ${gyre_llama_prefixes} NO_DEFAULT_PATH)
    if(NOT llama_FOUND)
      find_package(llama CONFIG QUIET)
    endif()
  endif()
  if(llama_FOUND)
    set(gyre_llama_link llama)
    set(gyre_llama_where "${llama_DIR}")
  elseif(NOT GYRE_LLAMA_ROOT AND PKG_CONFIG_FOUND)
    pkg_check_modules(LLAMA QUIET IMPORTED_TARGET llama)
    if(LLAMA_FOUND)
      set(gyre_llama_link PkgConfig::LLAMA ggml ggml-base)
      set(gyre_llama_where "pkg-config, version ${LLAMA_VERSION}")
    endif()
  endif()
endmacro()

macro(gyre_llama_check)
  include(CheckCSourceCompiles)
  set(CMAKE_REQUIRED_LIBRARIES ${gyre_llama_link})
  set(CMAKE_REQUIRED_QUIET TRUE)
  unset(GYRE_LLAMA_FITS CACHE)
  check_c_source_compiles("
    #include <llama.h>
    #include <ggml.h>
    #include <ggml-backend.h>
    int main(void)
    {
        struct llama_context_params c = llama_context_default_params();
        struct llama_model_params m = llama_model_default_params();
        m.use_extra_bufts = false;
        c.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
        c.swa_full = true;
        c.op_offload = false;
        struct llama_model *model = llama_model_load_from_file(\"\", m);
        struct llama_context *context = llama_init_from_model(model, c);
        llama_memory_clear(llama_get_memory(context), true);
        return (int)GGML_OP_SET_ROWS + (ggml_set_abort_callback(NULL) != NULL);
    }" GYRE_LLAMA_FITS)
  # The version that headers and library have now: a library replaced later is refused at run time, since structures are passed by value.
  unset(GYRE_LLAMA_RUNS CACHE)
  unset(GYRE_LLAMA_COMPILES CACHE)
  file(WRITE "${CMAKE_BINARY_DIR}/llama_version.c" "#include <llama.h>\n#include <stdio.h>\nint main(void) { return puts(llama_version()) < 0; }\n")
  try_run(GYRE_LLAMA_RUNS GYRE_LLAMA_COMPILES "${CMAKE_BINARY_DIR}/llama_version" "${CMAKE_BINARY_DIR}/llama_version.c" LINK_LIBRARIES ${gyre_llama_link}
    RUN_OUTPUT_VARIABLE GYRE_LLAMA_VERSION)
  if(GYRE_LLAMA_COMPILES AND GYRE_LLAMA_RUNS EQUAL 0)
    string(STRIP "${GYRE_LLAMA_VERSION}" GYRE_LLAMA_VERSION)
  else()
    set(GYRE_LLAMA_VERSION "")
  endif()
  unset(CMAKE_REQUIRED_LIBRARIES)
  unset(CMAKE_REQUIRED_QUIET)
endmacro()

if(GYRE_LLAMA)
  gyre_llama_find()
  if(NOT gyre_llama_link)
    message(STATUS "libllama: not found; `gyre capture` will say so (scripts/setup --check builds it)")
  elseif(GGML_NATIVE)
    message(WARNING "libllama at ${gyre_llama_where} was built for the native processor (GGML_NATIVE): refused, because its numbers differ from machine to "
                    "machine; scripts/setup --check builds a portable one")
  else()
    gyre_llama_check()
    if(GYRE_LLAMA_FITS)
      set(GYRE_HAVE_LLAMA TRUE)
      add_library(gyre_llama INTERFACE)
      target_link_libraries(gyre_llama INTERFACE ${gyre_llama_link})
      if(GYRE_LLAMA_VERSION)
        target_compile_definitions(gyre_llama INTERFACE "GYRE_LLAMA_VERSION=\"${GYRE_LLAMA_VERSION}\"")
      endif()
      message(STATUS "libllama: ${gyre_llama_where} ${GYRE_LLAMA_VERSION}")
    else()
      message(WARNING "libllama at ${gyre_llama_where} is too old or too new for engine/engine_llama.c: the build goes on without it")
    endif()
  endif()
endif()
