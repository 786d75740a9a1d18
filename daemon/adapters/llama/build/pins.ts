/** One npm package of the engine, by exact version and content. */
export type PackagePin = { readonly name: string; readonly version: string; readonly integrity: string }

/** The llama.cpp release that everything here belongs to. It is part of the namespace of every block. */
export const llamaRelease = 'v0.5.0'

/** The package that ships the whole source as a git bundle, and the bundle's place in it. */
export const sourcePin: PackagePin = {
  name: 'node-llama-cpp',
  version: '3.22.1',
  integrity:
    'sha512-bltIipuWmc123H7tMIgDGKSsSrhmhlQYeVUC48XTjVW7XGJJiJJyCdlTMzQ/LiWoPkGDpcL4FviDpgw7qfTiDw==',
}
export const sourceBundle = 'package/llama/gitRelease.bundle'
/** The commit inside the bundle. Why: the tarball's hash already fixes it; a changed bundle is told apart by name. */
export const sourceCommit = 'de3ff815ea7d559ee917f063901b8986f038abc6'

/** The libraries built from that source, per machine. `folder` holds the .so files inside the package. */
export const libraryPins: Record<string, PackagePin & { readonly folder: string }> = {
  x64: {
    name: '@node-llama-cpp/linux-x64',
    version: '3.22.1',
    integrity:
      'sha512-5uCCDNqWCNfaAm8aR/Uzxbo4HBpKgNF91kCHPepKhgMgV2OAmatoefbOlMihsqCiH2Od35E/eUHQCFbfRBJuOg==',
    folder: 'package/bins/linux-x64',
  },
  arm64: {
    name: '@node-llama-cpp/linux-arm64',
    version: '3.22.1',
    integrity:
      'sha512-W+7naKCXX9/eEjjFmRS8vvx91QyLXDbeFxexZc3bh/PtQABZgmRL3C0AtYYXn4YGTj/3Qor4lWZn2tpjZFPLdQ==',
    folder: 'package/bins/linux-arm64',
  },
}

/** The libraries that llama-server is linked with; the ggml-cpu ones are chosen at load by llama.cpp itself. */
export const linkedLibraries: readonly string[] = [
  'libllama-common.so',
  `libllama.${llamaRelease}.so`,
  `libggml.${llamaRelease}.so`,
  'libggml-base.so',
]
