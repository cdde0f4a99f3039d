/* Generated from schema.json by `npm run generate`. */

/**
 * Sends the image that the `image` target built to a registry, without a container engine and without building anything: only what the registry lacks, and the tags last. Never cached: it asks the registry.
 */
export interface DockerPushOptions {
  /**
   * Registry and repository to push to. Default: those of the image's own references, which then must name a registry.
   */
  repository?: string;
  /**
   * Tags to set beside those that the `image` target gave, with tokens: `{branch}`, `{sha}`, `{shortSha}`, `{env.NAME}`; from the commit's git tag (`hello/v1.2.3` or `v1.2.3`) `{version}`, `{major}`, `{minor}`, `{patch}`, `{gitTag}`, `{match:<pattern>}`: without such a git tag the tag is left out.
   */
  tags?: string[];
  /**
   * Attach bills of materials (CycloneDX and SPDX, one of each for each platform) and SLSA provenance to the image, as OCI 1.1 referrers; where a registry has no list of these, under the tag `sha256-<digest>`.
   */
  attest?: boolean;
  /**
   * How layers are compressed. `gzip` gives the same bytes on every machine and is read by everybody. `zstd` is smaller and faster to unpack; its bytes may differ between versions of Node, it takes Node 22.15 or later, and Docker before 23 can't read it.
   */
  compression?: 'gzip' | 'zstd';
  /**
   * Say what would be pushed, and ask no registry.
   */
  dryRun?: boolean;
  /**
   * Speak HTTP without TLS to this registry. On localhost that is done anyway where nobody answers with TLS.
   */
  plainHttp?: boolean;
}
