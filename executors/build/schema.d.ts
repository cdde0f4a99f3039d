/* Generated from schema.json by `npm run generate`. */

/**
 * Compiles a Go main package, for each platform into `<outputPath>/<os>/<arch>[/<variant>]/<name>`.
 */
export interface BuildOptions {
  /**
   * Folder of the main package (or a file in it), relative to the workspace root. By default the project's own folder, or the only main package below it.
   */
  main?: string;
  /**
   * Folder for the binaries, relative to the workspace root. Each lies under the name of its platform, which is what Docker's `TARGETPLATFORM` says.
   */
  outputPath?: string;
  /**
   * What to build for, as `os/arch[/variant]`. By default linux on the architecture of this machine for a project with a Dockerfile, otherwise this machine.
   */
  platforms?: string[];
  /**
   * Linker flags as `go build -ldflags` takes them; the entries of a list are joined by spaces. They follow those of `strip` and of GOFLAGS.
   */
  ldflags?: string | string[];
  /**
   * Build tags (`go build -tags`). They replace those of GOFLAGS.
   */
  buildTags?: string[];
  /**
   * Leave this machine's paths out of the binary (`-trimpath`), so that every folder and machine makes the same bytes.
   */
  trimpath?: boolean;
  /**
   * Leave out symbol table and debugging information (`-ldflags="-s -w"`): about a third smaller. Stack traces keep their names and lines.
   */
  strip?: boolean;
  /**
   * Compile in the race detector (`-race`). It turns cgo on, so the binary runs on this machine but not in a scratch image.
   */
  race?: boolean;
  /**
   * Allow cgo (`CGO_ENABLED=1`). What it links dynamically can't start in a scratch image and is refused there, with the package that asked for it.
   */
  cgo?: boolean;
  /**
   * Stamp the commit into the binary (`-buildvcs=true`), as the `release` configuration does. The commit is no part of the cache key, or every commit would miss: a restored binary names the commit that first built the same sources.
   */
  vcs?: boolean;
  /**
   * Write version, commit and date into string variables of the program, as the `release` configuration does. `true` means `main.version`, `main.commit` and `main.date`, as far as there are such; an object names others. As with `vcs`, they are no part of the cache key.
   */
  stamp?:
    | boolean
    | {
        /**
         * Gets the version.
         */
        version?: string;
        /**
         * Gets the git commit.
         */
        commit?: string;
        /**
         * Gets the commit's date.
         */
        date?: string;
      };
  /**
   * Environment variables for `go build`.
   */
  env?: {
    [k: string]: string;
  };
  /**
   * More arguments for `go build`. They follow ours, so they win.
   */
  args?: string[];
}
