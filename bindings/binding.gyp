{
  "targets": [
    {
      "target_name": "keyrite",
      "sources": [
        "addon.cc",
        "aes_openssl.cc",
        "aes_token.cc",
        "arguments.cc",
        "attribute.cc",
        "calls_feistel.cc",
        "calls_he.cc",
        "calls_key.cc",
        "calls_module.cc",
        "calls_object.cc",
        "calls_pin.cc",
        "feistel.cc",
        "feistel_arguments.cc",
        "feistel_group.cc",
        "feistel_rounds.cc",
        "feistel_symbols.cc",
        "function_list.cc",
        "he_blake2xb.cc",
        "he_kernel_avx2.cc",
        "he_kernel_ifma.cc",
        "he_kernel_portable.cc",
        "he_layout.cc",
        "he_pack.cc",
        "he_pages.cc",
        "he_parallel.cc",
        "he_residues.cc",
        "he_scan.cc",
        "he_seed.cc",
        "job.cc",
        "mechanism.cc",
        "module.cc",
        "secret.cc"
      ],
      "defines": ["NAPI_VERSION=9", "NAPI_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions"],
      "cflags_cc": [
        "-isystem",
        "<!(node -p \"require('path').resolve(require('node-addon-api').include_dir)\")",
        "-std=c++17",
        "-fexceptions",
        "-fvisibility=hidden",
        "-fstack-protector-strong",
        "-Wall",
        "-Wextra",
        "-Wshadow",
        "-Wconversion"
      ],
      "ldflags": ["-Wl,--version-script=<(module_root_dir)/exports.map", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"],
      "conditions": [
        ["OS=='linux'", { "defines": ["_FORTIFY_SOURCE=2"] }],
        [
          "OS=='mac'",
          {
            "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
            "xcode_settings": {
              "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
              "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
              "CLANG_CXX_LANGUAGE_STANDARD": "c++17"
            }
          }
        ]
      ]
    }
  ]
}
