//! Environment variables that are more than data, because a shell or another program runs their contents, or loads code from
//! where they point.

/// Why no value may be in a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::definition) enum Danger {
    /// A program runs its content, or takes it for options that run something.
    Runs,
    /// A program looks there for code to run.
    Finds,
}

impl Danger {
    pub fn reason(self) -> &'static str {
        match self {
            Danger::Runs => "which programs run",
            Danger::Finds => "where programs look for code that they load",
        }
    }

    pub fn hint(self) -> &'static str {
        match self {
            Danger::Runs => "use a variable of another name, which the command in this one reads",
            Danger::Finds => {
                "write the directory out, or use `{{ params.NAME }}`, `{{ out }}` or `{{ inputs.STEP.dir }}`; they are yours"
            }
        }
    }
}

/// The special variables that a shell evaluates when they are in its environment.
const SPECIAL_IN_ENV: &[&str] = &["BASH_ENV", "ENV", "PROMPT_COMMAND", "PS0", "PS1", "PS4"];

/// Variables with content that some program runs. A name that ends with `*` matches all names with this prefix, one that
/// begins with `*` all names with this suffix.
const RUNS: &[&str] = &[
    // Of the dynamic linker.
    "LD_PRELOAD",
    "LD_AUDIT",
    "DYLD_INSERT_LIBRARIES",
    // A program to start for people.
    "*ASKPASS",
    "*BROWSER",
    "*EDITOR",
    "*PAGER",
    "FCEDIT",
    "LESS",
    "LESSCLOSE",
    "LESSOPEN",
    "MANROFFOPT",
    "SHELL",
    "VISUAL",
    // Options and code of interpreters.
    "*JAVA_OPTIONS",
    "*JAVA_OPTS",
    "ANT_ARGS",
    "ANT_OPTS",
    "CORECLR_PROFILER*",
    "COR_PROFILER*",
    "DOTNET_STARTUP_HOOKS",
    "ELIXIR_ERL_OPTIONS",
    "ERL_AFLAGS",
    "ERL_FLAGS",
    "ERL_ZFLAGS",
    "EXINIT",
    "GRADLE_OPTS",
    "GVIMINIT",
    "JAVA_TOOL_OPTIONS",
    "LUA_INIT*",
    "MAVEN_ARGS",
    "MAVEN_OPTS",
    "NODE_OPTIONS",
    "NODE_REPL_EXTERNAL_MODULE",
    "PERL5DB",
    "PERL5OPT",
    "PERL5SHELL",
    "PYTHONBREAKPOINT",
    "PYTHONSTARTUP",
    "PYTHONWARNINGS",
    "RUBYOPT",
    "RUBYSHELL",
    "SBT_OPTS",
    "VIMINIT",
    // Of other programs.
    "BC_ENV_ARGS",
    "CVS_RSH",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_KEY_*",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_VALUE_*",
    "GIT_EXTERNAL_DIFF",
    "GIT_PROXY_COMMAND",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GNUMAKEFLAGS",
    "GOFLAGS",
    "HGMERGE",
    "MAKEFLAGS",
    "MFLAGS",
    "NPM_CONFIG_*",
    "npm_config_*",
    "RSYNC_CONNECT_PROG",
    "RSYNC_RSH",
    "RUSTFLAGS",
    "SSH_SK_PROVIDER",
    "SVN_SSH",
    "TAR_OPTIONS",
];

/// Variables that say where programs find code: programs, libraries, modules, plug-ins, settings that name commands.
const FINDS: &[&str] = &[
    "PATH",
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_CONFIG_DIRS",
    "ZDOTDIR",
    // Libraries and plug-ins.
    "DYLD_*",
    "GCONV_PATH",
    "GDAL_DRIVER_PATH",
    "GDK_PIXBUF_MODULE*",
    "GIO_EXTRA_MODULES",
    "GIO_MODULE_DIR",
    "GI_TYPELIB_PATH",
    "GST_PLUGIN*",
    "GTK_MODULES",
    "GTK_PATH",
    "HDF5_PLUGIN_PATH",
    "LADSPA_PATH",
    "LD_*",
    "LIBGL_DRIVERS_PATH",
    "LIBVA_DRIVERS_PATH",
    "MAGICK_CODER_MODULE_PATH",
    "MAGICK_CONFIGURE_PATH",
    "OCL_ICD_*",
    "OPENSSL_CONF",
    "OPENSSL_ENGINES",
    "OPENSSL_MODULES",
    "QML2_IMPORT_PATH",
    "QT_PLUGIN_PATH",
    "QT_QPA_PLATFORM_PLUGIN_PATH",
    "SASL_PATH",
    "VK_*",
    // Modules of interpreters.
    "AWKLIBPATH",
    "AWKPATH",
    "BUNDLE_GEMFILE",
    "BUNDLE_PATH",
    "CAML_LD_LIBRARY_PATH",
    "CLASSPATH",
    "DOTNET_ROOT",
    "EMACSLOADPATH",
    "ERL_LIBS",
    "GEM_HOME",
    "GEM_PATH",
    "GUILE_*",
    "JAVA_HOME",
    "JULIA_DEPOT_PATH",
    "JULIA_LOAD_PATH",
    "JULIA_PROJECT",
    "LUA_CPATH*",
    "LUA_PATH*",
    "MYVIMRC",
    "NODE_PATH",
    "OCAMLPATH",
    "PERL5LIB",
    "PERLLIB",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PYTHONEXECUTABLE",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONPLATLIBDIR",
    "PYTHONPYCACHEPREFIX",
    "PYTHONUSERBASE",
    "RUBYLIB",
    "R_ENVIRON*",
    "R_HOME",
    "R_LIBS*",
    "R_PROFILE*",
    "TCLLIBPATH",
    "VIMRUNTIME",
    // Programs that builds start, and settings that name commands.
    "CARGO",
    "CARGO_BUILD_*",
    "CARGO_HOME",
    "CARGO_TARGET_*",
    "CC",
    "CPP",
    "CURL_HOME",
    "CXX",
    "GIT_CONFIG",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_EXEC_PATH",
    "GIT_TEMPLATE_DIR",
    "HGRCPATH",
    "MAKEFILES",
    "MYSQL_HOME",
    "PSQLRC",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "SCREENRC",
    "WGETRC",
];

/// Why a shell must not set this variable to a value, apart from what the shell itself makes of it.
pub(super) fn danger_in_shell(name: &str) -> Option<Danger> {
    let is_it = |pattern: &&str| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(ends), _) => name.ends_with(ends),
        (_, Some(begins)) => name.starts_with(begins),
        _ => *pattern == name,
    };
    match () {
        () if RUNS.iter().any(is_it) => Some(Danger::Runs),
        () if FINDS.iter().any(is_it) => Some(Danger::Finds),
        () => None,
    }
}

/// Why no value may be put into the environment under this name.
pub(in crate::definition) fn danger(name: &str) -> Option<Danger> {
    let is_special = SPECIAL_IN_ENV.contains(&name) || name.starts_with("BASH_FUNC_");
    if is_special { Some(Danger::Runs) } else { danger_in_shell(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_programs_run_or_load_code_by_is_known() {
        for (name, expected) in [
            ("N", None),
            ("DATA_PATH", None),
            ("LDAP_HOST", None),
            ("PYTHONUNBUFFERED", None),
            ("GIT_DIR", None),
            ("LD_PRELOAD", Some(Danger::Runs)),
            ("LD_LIBRARY_PATH", Some(Danger::Finds)),
            ("DYLD_FRAMEWORK_PATH", Some(Danger::Finds)),
            ("PYTHONPATH", Some(Danger::Finds)),
            ("PYTHONWARNINGS", Some(Danger::Runs)),
            ("PERL5LIB", Some(Danger::Finds)),
            ("_JAVA_OPTIONS", Some(Danger::Runs)),
            ("LUA_INIT_5_4", Some(Danger::Runs)),
            ("LUA_CPATH_5_4", Some(Danger::Finds)),
            ("AWS_PAGER", Some(Danger::Runs)),
            ("SUDO_ASKPASS", Some(Danger::Runs)),
            ("GIT_CONFIG_VALUE_0", Some(Danger::Runs)),
            ("NPM_CONFIG_SCRIPT_SHELL", Some(Danger::Runs)),
            ("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", Some(Danger::Finds)),
            ("BASH_FUNC_ls%%", Some(Danger::Runs)),
        ] {
            assert_eq!(danger(name), expected, "{name}");
        }
    }
}
