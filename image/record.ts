/**
 * `image.json`: what image.tar holds, for those who load, run or push it. All digests are `sha256:<hex>`.
 * An engine with the graph-driver store knows an image by its config digest (`imageId`), one with the containerd store
 * by the digest that index.json names: `manifestDigest`, or `indexDigest` where there are several platforms.
 */
export interface ImageRecord {
  /** With tag, in the short form that `docker images` shows: `hello:latest`, `ghcr.io/acme/hello:1.2`. */
  readonly references: readonly string[];
  /** Digest of the image index that holds all platforms; absent for a single platform. */
  readonly indexDigest?: string;
  readonly platforms: readonly PlatformRecord[];
}

export interface PlatformRecord {
  /** `linux/amd64`, `linux/arm/v7`. */
  readonly platform: string;
  /** Digest of the image configuration. */
  readonly imageId: string;
  readonly manifestDigest: string;
  /** Sum of the uncompressed layers, config and manifest. */
  readonly sizeBytes: number;
  readonly layers: readonly { readonly diffId: string; readonly digest: string; readonly sizeBytes: number }[];
}
