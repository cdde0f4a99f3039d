/* Generated from schema.json by `npm run generate`. */

/**
 * Builds the program for this machine and runs it, again after each change of what it is made of. Arguments that are no options of this target go to the program.
 */
export interface ServeOptions {
  /**
   * Arguments for the program, before those of the command line. Also the way to pass one that has the name of an option of this target.
   */
  args?: string[];
  /**
   * Environment variables of the program.
   */
  env?: {
    [k: string]: string | number | boolean;
  };
  /**
   * Files of `NAME=value` lines, relative to the workspace root, in the format of `docker run --env-file`. A change of one starts the program again.
   */
  envFile?: string | string[];
  /**
   * Folder that the program runs in, relative to the workspace root.
   */
  cwd?: string;
  /**
   * The `slim-go:build` target whose `main`, `buildTags`, `ldflags`, `cgo`, `env` and `args` say how the program is built. Serve builds it for this machine, with debugging information, and outside of the workspace.
   */
  buildTarget?: string;
  /**
   * Build tags. Default: those of the build target.
   */
  buildTags?: string[];
  /**
   * Compile in the race detector (`-race`), which takes cgo and a C compiler.
   */
  race?: boolean;
  /**
   * How long files have to stay as they are before a change counts, in milliseconds.
   */
  debounceMs?: number;
  /**
   * Seconds between the SIGTERM that asks the program to end and the SIGKILL that ends it. Nx itself kills a target 5 seconds after Ctrl-C (`NX_PROCESS_KILL_GRACE_PERIOD`).
   */
  stopTimeout?: number;
  /**
   * What the command line says behind the target.
   */
  __unparsed__?: string[];
}
