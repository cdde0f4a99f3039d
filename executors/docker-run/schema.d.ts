/* Generated from schema.json by `npm run generate`. */

/**
 * Runs the image in the container engine, loading it first if the engine lacks it. Arguments that are no options of this target go to the program.
 */
export interface DockerRunOptions {
  /**
   * Arguments for the program, before those of the command line. Also the way to pass one that has the name of an option of this target.
   */
  args?: string[];
  /**
   * Published ports, as `docker run -p` takes them.
   */
  ports?: string[];
  /**
   * Environment variables of the container.
   */
  env?: {
    [k: string]: string | number | boolean;
  };
  /**
   * Files of `NAME=value` lines, relative to the workspace root, in the format of `docker run --env-file`.
   */
  envFile?: string | string[];
  /**
   * Mounts, as `docker run -v` takes them; relative host paths start at the workspace root.
   */
  volumes?: string[];
  /**
   * The container's name. Default: chosen by the engine.
   */
  name?: string;
  /**
   * The network to join.
   */
  network?: string;
  /**
   * User to run as, instead of the image's.
   */
  user?: string;
  /**
   * Mount the container's root file system read-only.
   */
  readOnly?: boolean;
  /**
   * Memory limit.
   */
  memory?: string;
  /**
   * CPU limit.
   */
  cpus?: number;
  /**
   * Start the container and return at once, leaving it running.
   */
  detach?: boolean;
  /**
   * Remove the container when it has ended.
   */
  rm?: boolean;
  /**
   * Give the program a terminal, as `docker run -t` does.
   */
  tty?: boolean;
  /**
   * Seconds between the signal that asks the program to end and the one that kills it.
   */
  stopTimeout?: number;
  /**
   * What the command line says behind the target.
   */
  __unparsed__?: string[];
}
