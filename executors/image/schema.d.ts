/* Generated from schema.json by `npm run generate`. */

/**
 * Builds the image that the Dockerfile describes into dist/image/image.tar, with image.json beside it. Cached.
 */
export interface ImageOptions {
  /**
   * The Dockerfile, relative to the workspace root. Default: `Dockerfile` in the project's folder.
   */
  dockerfile?: string;
  /**
   * The build context, relative to the workspace root (`.` is the workspace root itself). Default: the project's folder.
   */
  context?: string;
  /**
   * Who executes the Dockerfile: `embedded` (in this process, no daemon, no RUN), `docker` (a container engine), `auto` (`embedded` wherever it can do exactly as Docker does, otherwise `docker`).
   */
  engine?: 'auto' | 'embedded' | 'docker';
  /**
   * Platforms of the image. Default: linux on this machine's architecture. The plugin sets those that `build` compiles for.
   */
  platforms?: string[];
  /**
   * The image's repository, with registry if it has one. Default: the project's name.
   */
  reference?: string;
  /**
   * Tags of the image, or whole references. Default: `latest`, unless `reference` has a tag.
   */
  tags?: string[];
  /**
   * Values for the Dockerfile's ARGs.
   */
  buildArgs?: {
    [k: string]: string;
  };
  /**
   * What names of base images stand for, as `docker build --build-context`: `docker-image://<reference>`, or `oci-layout://<folder>[:<tag>]` with a folder of the workspace. For the embedded engine.
   */
  buildContexts?: {
    [k: string]: string;
  };
  /**
   * Labels to add. `org.opencontainers.image.title` and, from the git remote, `source` are set unless named here or in the Dockerfile.
   */
  labels?: {
    [k: string]: string;
  };
  /**
   * Adds the labels `org.opencontainers.image.version`, `revision` (the git commit) and `created` (its date, or SOURCE_DATE_EPOCH), as the `release` configuration does. As with `stamp` of the build, a restored image names the commit that first built the same content.
   */
  stamp?: boolean;
  /**
   * The stage to build. Default: the last.
   */
  target?: string;
  /**
   * How much a container engine's build shows: `plain` and `auto` every step and its output, `quiet` only a failing one's.
   */
  progress?: 'auto' | 'plain' | 'quiet';
  /**
   * What the program will miss in its image, and is not to be warned of: `tls-roots` (root certificates), `time-zones`, `users` (look-ups in /etc/passwd and /etc/group), `temp-files` (a folder for them), `programs` (that it starts), `loader` (the dynamic loader, of cgo).
   */
  ignoreWarnings?: ('loader' | 'programs' | 'temp-files' | 'time-zones' | 'tls-roots' | 'users')[];
  /**
   * Asks the registries of base images by plain HTTP. On this machine (`localhost`) that is done anyway where nobody answers with TLS.
   */
  plainHttp?: boolean;
}
